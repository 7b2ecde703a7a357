#!/usr/bin/env python3
"""Trains the network of the MultiMNIST literature on pairs of garments in PyTorch,
balanced by TorchJD, on what `export_pairs` wrote:

    cargo build --release --example export_pairs
    python benches/peers/multi_fashion.py steps     # the first steps, number by number
    python benches/peers/multi_fashion.py seeds     # whole runs, as distributions

Both start from the same weights and take the same batches. `steps` compares the
losses of 50 steps, `seeds` the test accuracies of whole runs; finished runs are
rows of a CSV file and are not repeated. Exits with 1 if a bound is broken.
README.md in this folder says more. Needs torch, torchjd and numpy, as in
requirements.txt."""

import argparse
import csv
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchjd.aggregation import CAGrad, MGDA, NashMTL, PCGrad, Sum, UPGrad
from torchjd.autojac import mtl_backward
from torchjd.linalg import QuadprogProjector

from twin import PROGRAMS, paired, read, to_torch

SIDES = ["left", "right"]
BATCH, RATE, EPOCHS, TRAIN = 256, 1e-3, 10, 50_000
# Largest relative difference of losses in 64 bits.
LOSS = 1e-4
# Largest difference of mean accuracies, in points.
POINTS = 1.0
# How far a_t (G a)_t may be from 1 for an answer to be Nash-MTL's.
BARGAIN = 1e-3

# UPGrad without its regulariser and its threshold, which are not in the paper.
RULES = {
    "equal": Sum,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "cagrad": lambda: CAGrad(c=0.4, norm_eps=0.0),
    "nash": lambda: NashMTL(n_tasks=2, max_norm=0.0),
    "upgrad": lambda: UPGrad(projector=QuadprogProjector(norm_eps=0.0, reg_eps=0.0)),
}


class LeNet(nn.Module):
    """Parameters have the names of our checkpoints; images are [N, 1, 28, 28], 0 to 1."""

    def __init__(self):
        super().__init__()
        conv = {"conv1": nn.Conv2d(1, 10, 5), "conv2": nn.Conv2d(10, 20, 5)}
        self.trunk = nn.ModuleDict(conv | {"dense": nn.Linear(320, 50)})
        head = lambda: nn.ModuleDict({"hidden": nn.Linear(50, 50), "output": nn.Linear(50, 10)})
        self.heads = nn.ModuleDict({side: head() for side in SIDES})

    def features(self, x):
        for name in ["conv1", "conv2"]:
            x = F.relu(F.max_pool2d(self.trunk[name](x), 2))
        # Ours flattens channels last.
        return F.relu(self.trunk["dense"](x.permute(0, 2, 3, 1).flatten(1)))

    def logits(self, features):
        return [h["output"](F.relu(h["hidden"](features))) for h in self.heads.values()]


def idx(path):
    """The bytes of an IDX file: images or labels."""
    data = path.read_bytes()
    rank = data[3]
    sizes = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def load(path, dtype):
    model = LeNet().to(dtype)
    arrays, _ = read(path)
    model.load_state_dict({n.removeprefix("model."): torch.tensor(to_torch(a).copy()) for n, a in arrays.items()})
    return model


class Run:
    """The exported data and steps, to be taken by PyTorch."""

    def __init__(self, folder, rule, dtype):
        self.folder, self.rule, self.dtype = folder, rule, dtype
        self.model = load(folder / "initial.safetensors", dtype)
        self.aggregate = RULES[rule]()
        self.indices = read(folder / "indices.safetensors")[0]["indices"].astype(np.int64)
        self.images = idx(folder / "train-images")
        self.labels = [torch.tensor(idx(folder / f"train-{side}")).long() for side in SIDES]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        with open(folder / "steps.csv") as file:
            self.ours = list(csv.DictReader(file))
        # How often TorchJD's answer was none, and the largest relative error of its directions.
        self.replaced, self.off = 0, 0.0

    def batch(self, step):
        places = self.indices[step]
        # Through the 32 bits in which our loader normalises: another last digit of a pixel
        # grows until some unit is on the other side of zero.
        pixels = (self.images[places].astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
        images = torch.tensor(pixels).to(self.dtype).unsqueeze(1) * 0.25 + 0.5
        return images, [labels[places] for labels in self.labels]

    def step(self, step):
        """The losses before it."""
        images, labels = self.batch(step)
        features = self.model.features(images)
        losses = [F.cross_entropy(logits, label) for logits, label in zip(self.model.logits(features), labels)]
        shared = list(self.model.trunk.parameters())
        own = [list(head.parameters()) for head in self.model.heads.values()]
        self.optimizer.zero_grad()
        mtl_backward(losses, features=features, tasks_params=own, shared_params=shared)
        jacobian = torch.cat([p.jac.reshape(2, -1) for p in shared], dim=1)
        direction = self.direction(jacobian, self.ours[step])
        for p, part in zip(shared, direction.split([p.numel() for p in shared])):
            p.grad = part.reshape(p.shape)
            del p.jac
        self.optimizer.step()
        return [loss.item() for loss in losses]

    def direction(self, jacobian, ours):
        if self.rule == "pcgrad":
            # The visiting order of each task's others, as ours drew it.
            orders = iter([[int(task) for task in part.split("-")] for part in ours["order"].split("|")])
            return with_orders(lambda: self.aggregate(jacobian), orders)
        if self.rule == "nash":
            return self.bargain(jacobian)
        if self.rule == "cagrad":
            return self.averse(jacobian)
        return self.aggregate(jacobian)

    def averse(self, jacobian):
        """TorchJD's answer with the last digits, which its solver leaves open."""
        gramian = (jacobian @ jacobian.T).double().numpy()
        weights = torch.tensor(exact_aversion(gramian, 0.4))
        direction = weights.to(jacobian.dtype) @ jacobian
        distance = (self.aggregate(jacobian) - direction).norm() / direction.norm()
        self.off = max(self.off, distance.item())
        return direction

    def bargain(self, jacobian):
        """TorchJD's answer at its full length, or the exact one where TorchJD's is none."""
        gramian = (jacobian @ jacobian.T).double()
        weights = self.aggregate.weighting(jacobian).double()
        # At the solution |d| is the root of the number of tasks: its length is known.
        weights = weights * math.sqrt(2) / (weights @ gramian @ weights).sqrt()
        if ((weights * (gramian @ weights) - 1).abs() > BARGAIN).any():
            self.replaced += 1
            self.aggregate.reset()
            weights = exact_bargain(gramian)
        return weights.to(jacobian.dtype) @ jacobian


def exact_bargain(g):
    """Two tasks: a_t (G a)_t = 1 has a closed form, from a_1^2 g_11 = a_2^2 g_22."""
    lengths = g.diagonal().sqrt()
    cosine = g[0, 1] / lengths[0] / lengths[1]
    return 1 / (lengths * (1 + cosine).sqrt())


def exact_aversion(g, c):
    """Two tasks: the minimum of w.Gp + c |g0| |Jw| over the simplex, by bisection of its slope."""
    p = np.full(2, 0.5)
    radius = c * math.sqrt(p @ g @ p)
    length = lambda w: math.sqrt(max(w @ g @ w, 0.0))
    along = np.array([1.0, -1.0])
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        w = np.array([middle, 1 - middle])
        slope = along @ g @ p + radius * (along @ g @ w) / max(length(w), 1e-300)
        low, high = (low, middle) if slope > 0 else (middle, high)
    w = np.array([low, 1 - low])
    return p + radius * w / max(length(w), 1e-300)


def with_orders(work, orders):
    """`work` with TorchJD's random permutations replaced by the recorded ones."""
    original = torch.randperm
    torch.randperm = lambda n, **_: torch.tensor(full(next(orders), n))
    try:
        return work()
    finally:
        torch.randperm = original


def full(others, count):
    """An order of all tasks, whatever is left out of it at the end: a task does not visit itself."""
    return others + [task for task in range(count) if task not in others]


def export(folder, given, rule, steps, seed, *options):
    command = [PROGRAMS / "export_pairs", "--out", folder, "--balance", rule, "--threads", str(given.threads)]
    subprocess.run(
        command + ["--steps", str(steps), "--seed", str(seed)] + list(options), check=True, stdout=subprocess.DEVNULL
    )


def take(folder, given, rule, dtype):
    """The losses of both, step by step, and the run."""
    run = Run(folder, rule, dtype)
    return [run.step(step) for step in range(given.steps)], run


def apart(a, b):
    return max(abs(x - y) / abs(y) for xs, ys in zip(a, b) for x, y in zip(xs, ys))


def until(a, b):
    """The step before which all losses agree to the last digits of 32 bits."""
    steps = (step for step, (xs, ys) in enumerate(zip(a, b)) if apart([xs], [ys]) > 1e-6)
    return next(steps, len(a))


def compare_steps(given):
    fine = True
    print(f"PyTorch {torch.__version__}, {given.steps} steps, largest relative difference of a loss")
    for rule in given.rules:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            export(folder, given, rule, given.steps, 1, "--double")
            double, run = take(folder, given, rule, torch.float64)
            ours = [[float(row[side]) for side in SIDES] for row in run.ours]
            exact = apart(ours, double)
            notes = {"nash": f"; of TorchJD's answers {run.replaced} were none", "cagrad": f"; TorchJD's directions within {run.off:.0e}"}
            export(folder, given, rule, given.steps, 1)
            single, run = take(folder, given, rule, torch.float32)
            ours = [[float(row[side]) for side in SIDES] for row in run.ours]
            double, _ = take(folder, given, rule, torch.float64)
        print(
            f"{rule:8} 64 bits {exact:.1e}, 32 bits {apart(ours, single):.1e}, 1e-6 until step {until(ours, single)} "
            f"(PyTorch in 32 and 64: {apart(single, double):.1e}, {until(single, double)}){notes.get(rule, '')}",
            flush=True,
        )
        fine &= exact <= LOSS
    return fine


@torch.no_grad()
def accuracies(model, folder):
    images = idx(folder / "test-images")
    hits = [0, 0]
    labels = [torch.tensor(idx(folder / f"test-{side}")).long() for side in SIDES]
    for start in range(0, len(images), 1000):
        part = slice(start, start + 1000)
        x = torch.tensor(images[part]).float().unsqueeze(1) / 255
        for side, logits in enumerate(model.logits(model.features(x))):
            hits[side] += (logits.argmax(1) == labels[side][part]).sum().item()
    return {side: 100 * hit / len(images) for side, hit in zip(SIDES, hits)}


def compare_seeds(given):
    rows, steps = [], given.epochs * (given.samples // BATCH)
    if given.rows.exists():
        with open(given.rows) as file:
            rows = list(csv.DictReader(file))
    for seed in range(1, given.seeds + 1):
        for rule in given.rules:
            key = {"balance": rule, "seed": str(seed), "steps": str(steps), "samples": str(given.samples)}
            if any(key.items() <= row.items() for row in rows):
                continue
            with tempfile.TemporaryDirectory() as folder:
                folder, clock = Path(folder), time.perf_counter()
                export(folder, given, rule, steps, seed, "--samples", str(given.samples))
                between = time.perf_counter()
                run = Run(folder, rule, torch.float32)
                for step in range(steps):
                    run.step(step)
                end = time.perf_counter()
                final = load(folder / "final.safetensors", torch.float32)
                for program, model, seconds in [("ours", final, between - clock), ("torch", run.model, end - between)]:
                    scores = {side: f"{value:.2f}" for side, value in accuracies(model, folder).items()}
                    rows.append(key | {"program": program} | scores | {"seconds": f"{seconds:.0f}"})
            with open(given.rows, "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            print(f"{rule} seed {seed}: done in {end - clock:.0f} s", flush=True)
    mine = {"steps": str(steps), "samples": str(given.samples)}
    return report([row for row in rows if mine.items() <= row.items()], given.rules)


def report(rows, rules):
    """The interval of the mean difference, by strategy and task."""
    fine = True
    print(f"{'balance':8} {'task':5} {'ours':>7} {'torch':>7} {'difference, 95 %':>24} {'bound':>6}")
    for rule in rules:
        for side in SIDES:
            of = lambda program: [float(r[side]) for r in rows if (r["balance"], r["program"]) == (rule, program)]
            fine &= paired(f"{rule:8} {side:5}", of("ours"), of("torch"), POINTS)
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    steps = commands.add_parser("steps", help="compare the first steps")
    steps.add_argument("--steps", type=int, default=50)
    seeds = commands.add_parser("seeds", help="compare whole runs")
    seeds.add_argument("--seeds", type=int, default=5)
    seeds.add_argument("--epochs", type=int, default=EPOCHS)
    seeds.add_argument("--samples", type=int, default=TRAIN, help="training pairs")
    seeds.add_argument("--rows", type=Path, default=Path("multi_fashion.csv"), help="finished runs, kept between calls")
    for command in [steps, seeds]:
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--rules", type=lambda text: text.split(","), default=list(RULES), help="strategies")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    sys.exit(0 if (compare_steps if given.command == "steps" else compare_seeds)(given) else 1)


if __name__ == "__main__":
    main()
