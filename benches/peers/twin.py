#!/usr/bin/env python3
"""Trains the default model of `train` in PyTorch on what `export_steps` wrote:

    cargo build --release --example export_steps --example evaluate
    python benches/peers/twin.py steps          # the first steps, number by number
    python benches/peers/twin.py seeds          # whole short runs, as distributions

`steps` starts from the same weights and takes the same 50 batches: losses and the
first step's gradients are compared. `seeds` trains both on the same data with
each of ten seeds; our `evaluate` scores either model on the test scenes. Finished
seeds are rows of a CSV file and are not repeated. Exits with 1 if a bound is
broken. README.md in this folder says what is compared and why so. Needs torch and
numpy, as in requirements.txt."""

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import twin_network

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ROOT / "target/release/examples"
# Largest relative differences of losses and of gradients, in 32 bits and in 64.
LOSS, GRADIENT, DOUBLE = 1e-4, 1e-5, 1e-9
# A softmax does not see a bias: its gradient is zero but for rounding.
UNSEEN = "heads.classify.attention.bias"
# Batches of two images whose gradients are compared in 32 bits.
PAIRS = 12
# Largest differences of means over the seeds, in points.
POINTS = {"accuracy": 1.0, "miou": 1.0, "map": 1.5}
# Student's t, 97.5 %, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
# Ours against PyTorch's names.
NAMES = {"norm.gamma": "norm.weight", "norm.beta": "norm.bias", "running_variance": "running_var"}


def read(path):
    """The arrays and the metadata of a safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        arrays[name] = np.frombuffer(data[start + begin : start + end], kind).reshape(entry["shape"])
    return arrays, metadata


def write(path, arrays, metadata):
    header, end = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    parts = [np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values()]
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def theirs(name):
    for ours, other in NAMES.items():
        name = name.replace(ours, other)
    return name


def to_torch(array):
    """[KH, KW, Cin, Cout] as [Cout, Cin, KH, KW], [in, out] as [out, in]."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def to_ours(array):
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


class Twin:
    """The model with our weights, its optimiser, and its steps."""

    def __init__(self, folder, dtype=torch.float32):
        self.folder, self.dtype = folder, dtype
        self.arrays, self.metadata = read(folder / "initial.safetensors")
        config = json.loads(self.metadata["config"])
        self.clip = config["clip_norm"]
        self.model = twin_network.Model().to(dtype)
        state = {theirs(name.removeprefix("model.")): torch.tensor(to_torch(a)) for name, a in self.arrays.items()}
        counts = {name: value for name, value in self.model.state_dict().items() if "num_batches" in name}
        self.model.load_state_dict(state | counts)
        # Weights of rank 1 do not decay.
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config["weight_decay"]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0)
        with open(folder / "steps.csv") as file:
            self.steps = list(csv.DictReader(file))

    def batch(self, step):
        arrays, _ = read(self.folder / f"batches/{step:04}.safetensors")
        images, objects = arrays["images"], arrays["objects"].astype(np.float64)
        targets = twin_network.detection_targets(objects, len(images), images.shape[1])
        heat, bounds, weight = (torch.tensor(target).to(self.dtype) for target in targets)
        return {
            "images": torch.tensor(images.transpose(0, 3, 1, 2)).to(self.dtype).contiguous(),
            "classes": torch.tensor(arrays["classes"]).long(),
            "masks": torch.tensor(arrays["masks"]).long(),
            "heat": heat, "bounds": bounds, "weight": weight, "count": max(len(objects), 1),
        }  # fmt: skip

    def step(self, step):
        """The losses before the step; gradients are left in the parameters before they are clipped."""
        losses = self.model.losses(self.batch(step))
        self.optimizer.zero_grad()
        sum(twin_network.WEIGHTS[name] * loss for name, loss in losses.items()).backward()
        return {name: loss.item() for name, loss in losses.items()}

    def update(self, step):
        norm = torch.stack([p.grad.norm() for p in self.model.parameters()]).norm()
        if norm > self.clip:
            for p in self.model.parameters():
                p.grad *= self.clip / norm
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.steps[step]["learning_rate"])
        self.optimizer.step()

    def save(self, path):
        state = self.model.state_dict()
        named = lambda name: state[theirs(name.removeprefix("model."))].float().numpy()
        write(path, {name: to_ours(named(name)) for name in self.arrays}, self.metadata)


def export(folder, given, steps, *options):
    command = [PROGRAMS / "export_steps", "--out", folder, "--threads", str(given.threads), "--steps", str(steps)]
    subprocess.run(command + list(options), check=True, stdout=subprocess.DEVNULL)


def gradients(twin):
    """Of the step before, by our names, in our order of dimensions."""
    parameters = dict(twin.model.named_parameters())
    ours = (name.removeprefix("model.") for name in twin.arrays if "running" not in name)
    # Copies: clipping changes them in place.
    return {name: to_ours(parameters[theirs(name)].grad.numpy()).copy() for name in ours}


def distance(found, expected):
    """The largest difference of an entry, in units of the largest entry of its parameter."""
    return max(np.abs(found[name] - values).max() / np.abs(values).max() for name, values in expected.items() if name != UNSEEN)


def run(folder, dtype):
    """Takes the exported steps: every step's losses and the first one's gradients."""
    twin, losses = Twin(folder, dtype), []
    for step in range(len(twin.steps)):
        losses.append(twin.step(step))
        if step == 0:
            first = gradients(twin)
        twin.update(step)
    ours = [{name: float(row[name]) for name in twin_network.WEIGHTS} for row in twin.steps]
    return ours, losses, first


def compare(what, a, b):
    """The largest relative difference of two lists of losses, printed by task."""
    worst = {name: max(abs(x[name] - y[name]) / abs(y[name]) for x, y in zip(a, b)) for name in twin_network.WEIGHTS}
    print(f"  losses, {what}: " + ", ".join(f"{name} {value:.1e}" for name, value in worst.items()))
    return max(worst.values())


def compare_steps(given):
    single, double = torch.float32, torch.float64
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print(f"PyTorch {torch.__version__}, {given.steps} steps of the default run, largest relative differences")
        print("both in 64 bits:")
        export(folder, given, given.steps, "--double")
        ours, torchs, first = run(folder, double)
        off = distance(read(folder / "gradients.safetensors")[0], first)
        print(f"  gradients of the first step: {off:.1e}")
        fine = max(compare("ours and PyTorch", ours, torchs), off) <= DOUBLE

        print("both in 32 bits, a tenth of the learning rate:")
        export(folder, given, given.steps, "--learning-rate", "5e-4")
        ours, torchs, _ = run(folder, single)
        fine &= compare("ours and PyTorch", ours, torchs) <= LOSS

        print("in 32 bits, the default learning rate (no bound: see README.md):")
        export(folder, given, given.steps)
        ours, torchs, _ = run(folder, single)
        compare("ours and PyTorch", ours, torchs)
        compare("PyTorch and PyTorch in 64 bits", torchs, run(folder, double)[1])

        print(f"gradients of the first step in 32 bits, {PAIRS} batches of two images:")
        near = np.zeros(3, int)
        for seed in range(1, PAIRS + 1):
            export(folder, given, 1, "--batch", "2", "--seed", str(seed))
            ours, _ = read(folder / "gradients.safetensors")
            torchs, exact = run(folder, single)[2], run(folder, double)[2]
            near += np.array([distance(ours, torchs), distance(ours, exact), distance(torchs, exact)]) <= GRADIENT
        names = ["ours and PyTorch", "ours and PyTorch in 64 bits", "PyTorch and PyTorch in 64 bits"]
        for name, count in zip(names, near):
            print(f"  {name}: within {GRADIENT:.0e} in {count}")
        # Where PyTorch's own rounding flips no unit, ours must not be seen either.
        fine &= bool(near[1] >= near[2] and near[0] >= min(near[2], 3))
    return fine


def score(model, threads):
    command = [PROGRAMS / "evaluate", "--model", model, "--threads", str(threads)]
    line = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {name: 100 * line[name] for name in POINTS}


def compare_seeds(given):
    rows = []
    if given.rows.exists():
        with open(given.rows) as file:
            rows = list(csv.DictReader(file))
    for seed in range(1, given.seeds + 1):
        if any(row["seed"] == str(seed) and row["steps"] == str(given.steps) for row in rows):
            continue
        with tempfile.TemporaryDirectory() as folder:
            folder, clock = Path(folder), time.perf_counter()
            export(folder, given, given.steps, "--seed", str(seed), "--schedule", str(given.steps))
            between = time.perf_counter()
            twin = Twin(folder)
            for step in range(given.steps):
                twin.step(step)
                twin.update(step)
            twin.save(folder / "twin.safetensors")
            end = time.perf_counter()
            for program, model, seconds in [("ours", "final", between - clock), ("torch", "twin", end - between)]:
                figures = score(folder / f"{model}.safetensors", given.threads)
                row = {"seed": seed, "steps": given.steps, "program": program} | figures | {"seconds": f"{seconds:.0f}"}
                rows.append({name: str(value) for name, value in row.items()})
        with open(given.rows, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return report([row for row in rows if row["steps"] == str(given.steps)])


def paired(label, ours, torchs, bound):
    """Prints the 95 % interval of the mean difference; whether it is within the bound."""
    means = [statistics.mean(values) for values in (ours, torchs)]
    if len(ours) < 2:
        print(f"{label} {means[0]:7.2f} {means[1]:7.2f}   one seed has no interval")
        return True
    # Both share data and first weights: the differences are paired.
    pairs = [a - b for a, b in zip(ours, torchs)]
    half = T[min(len(pairs) - 1, max(T))] * statistics.stdev(pairs) / math.sqrt(len(pairs))
    middle = means[0] - means[1]
    low, high = middle - half, middle + half
    print(f"{label} {means[0]:7.2f} {means[1]:7.2f} {middle:8.2f} ({low:5.2f} to {high:5.2f}) {bound:6.1f}")
    return -bound < low and high < bound


def report(rows):
    """The interval of the mean difference for every figure."""
    fine = True
    print(f"{'figure':9} {'ours':>7} {'torch':>7} {'difference, 95 %':>24} {'bound':>6}")
    for name, bound in POINTS.items():
        ours, torchs = ([float(r[name]) for r in rows if r["program"] == p] for p in ["ours", "torch"])
        fine &= paired(f"{name:9}", ours, torchs, bound)
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    steps = commands.add_parser("steps", help="compare the first steps")
    steps.add_argument("--steps", type=int, default=50)
    seeds = commands.add_parser("seeds", help="compare short runs")
    seeds.add_argument("--steps", type=int, default=200, help="of a run; its schedule ends with them")
    seeds.add_argument("--seeds", type=int, default=10)
    seeds.add_argument("--rows", type=Path, default=Path("twin.csv"), help="finished runs, kept between calls")
    for command in [steps, seeds]:
        command.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    sys.exit(0 if (compare_steps if given.command == "steps" else compare_seeds)(given) else 1)


if __name__ == "__main__":
    main()
