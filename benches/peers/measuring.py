"""How a peer is measured: the options, the clock and the line of JSON are those
of our own `throughput` example, so that run.py can treat all programs alike."""

import argparse
import json
import math
import os
import time

PUBLISHED = ["resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "vit_small", "unet"]
SENSES = ["audio-mel", "video-stack", "video-shift", "video-conv3d", "video-r2plus1d"]
WORKLOADS = ["seed32", "seed224", "resnet18", "mtl64", *PUBLISHED, *SENSES]
WORKLOADS += [f"infer-{name}" for name in ["seed32", "resnet18", *PUBLISHED]]
WORKLOADS += ["explain-gradients", "explain-occlusion"]
TRAINING = [name for name in WORKLOADS if not name.startswith(("infer-", "explain-"))]


def options(**choices):
    """The command line; `choices` are a peer's own settings, name to list of values."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1e9)
    for name, values in choices.items():
        parser.add_argument(f"--{name}", choices=values, default=values[0])
    return parser.parse_args()


def seconds_since_start():
    """Seconds since the system made this process."""
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    with open("/proc/self/stat") as file:
        ticks = float(file.read().rsplit(")", 1)[1].split()[19])
    return now - ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mb():
    """The most memory this process has held, in MiB."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024


def report(given, parameters, step, group=1):
    """Times `step`, which does `group` training steps and returns the loss as a
    number, and prints the line."""
    to_first_step = seconds_since_start()
    clock = time.perf_counter()
    step()
    first_step = time.perf_counter() - clock
    for _ in range(2):
        step()
    start = time.perf_counter()
    times = []
    while len(times) * group < given.steps and (not times or time.perf_counter() - start < given.seconds):
        clock = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - clock) / group)
        assert math.isfinite(loss), f"the loss is {loss}; the figures would mean nothing"
    median = sorted(times)[len(times) // 2]
    print(
        json.dumps(
            {
                "workload": given.workload,
                "batch": given.batch,
                "threads": given.threads,
                "steps": len(times) * group,
                "ms_per_step": median * 1e3,
                "images_per_second": given.batch / median,
                "seconds_to_first_step": to_first_step,
                "seconds_of_first_step": first_step / group,
                "peak_rss_mb": peak_rss_mb(),
                "parameters": parameters,
            }
        )
    )
