#!/usr/bin/env python3
"""Single convolutions, ours beside PyTorch's channels-last, pass by pass, on one
thread: `python3 benches/peers/convolutions.py`. GFLOP/s count the direct
algorithm's multiply-adds twice, and the machine's peak stands beside them.

Ours is `cargo bench --bench convolution`, whose names of layers are read here.
The two are alternated in rounds; each figure is the median of all rounds."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

PASSES = ["forward", "input", "weight"]


def layer(name):
    """`N32 C64 32x32-128 3x3 p1 s2 depthwise` in numbers."""
    n, cin, size, cout, kernel, padding = map(int, re.match(r"N(\d+) C(\d+) (\d+)x\d+-(\d+) (\d)x\d p(\d)", name).groups())
    stride = int((re.search(r" s(\d)", name) or [0, "1"])[1])
    return n, cin, size, cout, kernel, padding, stride, cin if "depthwise" in name else 1


def theirs(names):
    """The child's part: PyTorch's figures for these layers, a line of JSON each."""
    import torch

    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    for name in names:
        n, cin, size, cout, kernel, padding, stride, groups = layer(name)
        shape = {"memory_format": torch.channels_last}
        x = torch.randn(n, cin, size, size).to(**shape)
        weight = torch.randn(cout, cin // groups, kernel, kernel).to(**shape)
        forward = lambda: torch.conv2d(x, weight, None, stride, padding, 1, groups)
        dy = torch.randn_like(forward()).to(**shape)

        def gradient(mask):
            rest = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups)
            return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, *rest, mask)

        flops = 2 * dy.numel() * (cin // groups) * kernel**2
        passes = [forward, gradient([True, False, False]), gradient([False, True, False])]
        with torch.no_grad():
            speeds = {name: flops / seconds(run) / 1e9 for name, run in zip(PASSES, passes)}
        print(json.dumps({"layer": name, **speeds}), flush=True)


def seconds(run):
    """The median of 15 runs after one."""
    run()
    times = []
    for _ in range(15):
        clock = time.perf_counter()
        run()
        times.append(time.perf_counter() - clock)
    return statistics.median(times)


def lines(command, variables):
    output = subprocess.run([str(word) for word in command], env=variables, check=True, stdout=subprocess.PIPE, text=True)
    return {line["layer"]: line for line in map(json.loads, output.stdout.splitlines())}


def main():
    import run

    python = run.environment(run.CACHE)
    command = ["cargo", "bench", "-p", "cerberus-tensor", "--bench", "convolution", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=run.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = next(a["executable"] for a in map(json.loads, output.splitlines()) if a.get("executable"))
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    variables = run.child_environment(SimpleNamespace(threads=1, environment=run.CACHE))
    rounds = []
    for _ in range(3):
        mine = lines([ours, "--json"], variables)
        rounds.append((mine, lines([python, __file__, "--theirs", *mine], variables)))
    peak = statistics.median(line["peak"] for mine, _ in rounds for line in mine.values())
    print(f"1 thread, multiply-add peak {peak:.0f} GFLOP/s; each pass: ours, theirs (GFLOP/s), ratio")
    for name in rounds[0][0]:
        print(f"{name:>36}", end="")
        for kind in PASSES:
            a, b = (statistics.median(side[name][kind] for side in sides) for sides in zip(*rounds))
            print(f"  {kind} {a:6.1f} {b:6.1f} {a / b:5.2f}", end="")
        print(flush=True)


if __name__ == "__main__":
    if "--theirs" in sys.argv:
        theirs(sys.argv[sys.argv.index("--theirs") + 1 :])
    else:
        main()
