#!/usr/bin/env python3
"""Our training steps, predictions and explanations beside the same work in PyTorch,
Keras, ONNX Runtime and captum, alternated in one run: `python3 benches/peers/run.py`.

Makes its own Python environment, builds ours, and measures in rounds: each round
runs every program once, in a process of its own, one after the other, so that a
machine that gets slower or faster does so for all. The first round tries every
setting of a peer; later rounds repeat those that came near its best. Prints one
table; see README.md in this folder for what each column means."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import measuring

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cerberus-peers"
# Keep freed memory, and ask for huge pages.
TUNED = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=20000000000:glibc.malloc.hugetlb=1"}
BATCHES = {
    "seed32": [32, 128], "seed224": [32], "resnet18": [128], "mtl64": [32],
    "infer-seed32": [1, 64], "infer-resnet18": [1, 64],
    "resnet50": [16], "mobilenet_v2": [32], "efficientnet_b0": [16], "convnext_tiny": [8], "vit_small": [16],
    "unet": [8],
    "audio-mel": [32], "video-stack": [16], "video-shift": [16], "video-conv3d": [16], "video-r2plus1d": [16],
    "infer-resnet50": [1], "infer-mobilenet_v2": [1], "infer-efficientnet_b0": [1], "infer-convnext_tiny": [1],
    "infer-vit_small": [1], "infer-unet": [1],
    "explain-gradients": [1], "explain-occlusion": [1],
}  # fmt: skip
# Settings this much slower than the best of their peer are not tried again.
NEAR = 0.93


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", default=",".join(BATCHES), help="comma-separated; name or name:batch")
    parser.add_argument("--peers", default="installed,tuned,keras,onnx,captum", help="which to run, comma-separated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of measured steps in each process")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--eager", action="store_true", help="leave out what has to be compiled first")
    parser.add_argument("--all", action="store_true", help="repeat every setting in every round, foreach too")
    parser.add_argument("--environment", type=Path, default=CACHE, help="folder for the Python environment")
    parser.add_argument("--ours", type=Path, help="a built throughput program, instead of building it")
    parser.add_argument("--details", action="store_true", help="also print every setting's figures")
    return parser.parse_args()


def environment(folder):
    """The Python of an environment that holds exactly the pinned packages."""
    python, stamp = folder / "venv/bin/python", folder / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if not (stamp.exists() and stamp.read_text() == wanted):
        print(f"making {folder}/venv (several gigabytes, once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return python


def build():
    """Our program, built as anyone builds it."""
    command = ["cargo", "build", "--release", "--example", "throughput", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = (json.loads(line) for line in output.splitlines())
    return next(a["executable"] for a in artifacts if a.get("target", {}).get("name") == "throughput" and a.get("executable"))


def child_environment(given):
    """What every program gets: as many threads as the others, and its own choice of
    kernels (OPENBLAS_CORETYPE would slow NumPy down where it is set)."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "MALLOC_", "GLIBC_", "LD_PRELOAD"))}
    threads = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return clean | {name: str(given.threads) for name in threads} | {
        # Compiled once, then read from here: what is measured is the step, not the compiler.
        "TORCHINDUCTOR_CACHE_DIR": str(given.environment / "inductor"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }  # fmt: skip


def candidates(given, workload, batch, python, ours):
    """(peer, setting, command, extra environment) of everything that is run."""
    training = workload in measuring.TRAINING
    shared = ["--workload", workload, "--batch", batch, "--threads", given.threads, "--seconds", given.seconds]
    shared = [str(word) for word in shared]
    peers = given.peers.split(",")
    all_of = [("ours", "", [ours, *shared, "--steps", "1000000"], {})]
    if workload.startswith("explain-"):
        for name, extra in [("default", {}), ("tuned", TUNED)] if "captum" in peers else []:
            for layout in ["nchw", "nhwc"]:
                for chunk in ["one", "few", "all"]:
                    command = [python, HERE / "captum_steps.py", *shared, "--layout", layout, "--chunk", chunk]
                    all_of.append(("captum", f"{name} {layout} {chunk}", command, extra))
        return all_of
    optimizers = (["plain", "fused"] + ["foreach"] * given.all) if training else ["plain"]
    for peer, extra in [("installed", {}), ("tuned", TUNED)]:
        if peer not in peers:
            continue
        for mode in ["eager"] + ["compiled"] * (not given.eager):
            for layout in ["nchw", "nhwc"]:
                for optimizer in optimizers:
                    options = ["--mode", mode, "--layout", layout, "--optimizer", optimizer]
                    setting = " ".join([mode, layout] + [optimizer] * training)
                    all_of.append((peer, setting, [python, HERE / "torch_steps.py", *shared, *options], extra))
    if "keras" in peers and workload.removeprefix("infer-") not in measuring.PUBLISHED + measuring.SENSES:
        for mode in ["fit", "function"] + ["fit-xla", "function-xla"] * (not given.eager):
            all_of.append(("keras", mode, [python, HERE / "keras_steps.py", *shared, "--mode", mode], {}))
    if "onnx" in peers and not training:
        network = given.environment / f"{workload}.onnx"
        export = [python, HERE / "onnx_steps.py", "--export", workload, network]
        exported = subprocess.run(export, check=True, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        parameters = exported.stdout.split()[-1]
        command = [python, HERE / "onnx_steps.py", "--network", network, parameters, *shared]
        for name, extra in [("default", {}), ("tuned", TUNED)]:
            all_of.append(("onnx", name, command, extra))
    return all_of


def run(command, variables):
    """The figures that a program prints, or None where it fails."""
    done = subprocess.run([str(word) for word in command], env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"failed: {' '.join(str(word) for word in command)}\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(given, workload, batch, python, ours):
    """All rounds of one workload: {(peer, setting): figures of every round}."""
    variables = child_environment(given)
    left = candidates(given, workload, batch, python, ours)
    results = {(peer, setting): [] for peer, setting, _, _ in left}
    for round in range(given.rounds):
        for number, (peer, setting, command, extra) in enumerate(left):
            print(f"\r\033[K{workload}:{batch} round {round + 1}, {number + 1}/{len(left)} {peer} {setting}", end="", file=sys.stderr)
            results[peer, setting].append(run(command, variables | extra))
        if round == 0:
            left = [entry for entry in left if worth_repeating(results, entry[:2], given.all)]
    print("\r\033[K", end="", file=sys.stderr)
    complete = {key: figures for key, figures in results.items() if all(figures)}
    expected = complete["ours", ""][0]["parameters"]
    for (peer, setting), figures in complete.items():
        found = figures[0]["parameters"]
        assert found == expected, f"{workload}: {peer} {setting} has {found} parameters, ours {expected}"
    return complete


def worth_repeating(results, key, everything):
    first = results[key][0]
    if first is None:
        return key[0] == "ours"
    rivals = [figures[0] for (peer, _), figures in results.items() if peer == key[0] and figures[0]]
    best = max(figures["images_per_second"] for figures in rivals)
    return everything or first["images_per_second"] >= NEAR * best


def median(figures, name):
    return statistics.median(figure[name] or 0 for figure in figures)


def show(given, workload, batch, results):
    """The lines of the table for one workload."""
    ours = results["ours", ""]
    # Only what ran in every round can be compared round by round.
    full = {key: figures for key, figures in results.items() if len(figures) == len(ours)}
    for peer in ["ours", "installed", "tuned", "keras", "onnx", "captum"]:
        entries = [(key[1], figures) for key, figures in full.items() if key[0] == peer]
        if not entries:
            continue
        setting, figures = max(entries, key=lambda entry: median(entry[1], "images_per_second"))
        ratios = [a["images_per_second"] / b["images_per_second"] for a, b in zip(ours, figures)]
        ratio = f"{statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if peer != "ours" else ""
        print(
            f"{workload + ':' + str(batch):18} {peer:9} {setting:20} {median(figures, 'images_per_second'):9.1f}"
            f" {median(figures, 'ms_per_step'):9.3f} {ratio:18} {median(figures, 'peak_rss_mb'):8.0f}"
            f" {median(figures, 'seconds_to_first_step'):8.2f}"
        )
    if given.details:
        for (peer, setting), figures in results.items():
            speeds = ", ".join(f"{figure['images_per_second']:.1f}" for figure in figures)
            print(f"    {peer:9} {setting:22} images/s: {speeds}")
    sys.stdout.flush()


def main():
    given = arguments()
    given.environment.mkdir(parents=True, exist_ok=True)
    python = environment(given.environment)
    ours = given.ours or build()
    # As many cores as threads, for whatever a program might start beside them.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    print(f"{given.threads} threads, {given.rounds} rounds of {given.seconds} s; ratio: ours over theirs, median (min-max)")
    print(f"{'workload:batch':18} {'program':9} {'best setting':20} {'images/s':>9} {'ms/step':>9} {'ratio':18} {'peak MiB':>8} {'start s':>8}")
    for item in given.workloads.split(","):
        name, _, batch = item.partition(":")
        if name not in BATCHES:
            sys.exit(f"error: no workload {name!r}; there are {', '.join(BATCHES)}")
        for size in [int(batch)] if batch else BATCHES[name]:
            show(given, name, size, measure(given, name, size, python, ours))


if __name__ == "__main__":
    main()
