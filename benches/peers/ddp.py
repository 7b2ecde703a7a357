"""ResNet-18 shared by processes of one thread: ours under `mpirun` beside
PyTorch's DistributedDataParallel on gloo, in each layout, from the same batch of
generated images. Run it with the Python of the environment that run.py made:

    python benches/peers/ddp.py [--processes 2] [--batch 64] [--rounds 3]

Programs run one after another, round by round; the medians are compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--processes", type=int, default=2)
parser.add_argument("--batch", type=int, default=64, help="images per step in all processes")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--layout", choices=["nchw", "nhwc"], help=argparse.SUPPRESS)
given = parser.parse_args()


def peer():
    """One process of PyTorch's; rank 0 prints the seconds of a step."""
    import torch
    from torch import distributed
    from torch.nn import functional as F
    from torch.nn.parallel import DistributedDataParallel

    import made_up
    import torch_networks

    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    distributed.init_process_group("gloo")
    own = given.batch // given.processes
    form = {"memory_format": torch.channels_last if given.layout == "nhwc" else torch.contiguous_format}
    model = DistributedDataParallel(torch_networks.network("resnet18").to(**form), gradient_as_bucket_view=True)
    images = torch.from_numpy(made_up.images("resnet18", own)).permute(0, 3, 1, 2).contiguous(**form)
    labels = torch.from_numpy(made_up.labels("resnet18", own))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, foreach=True)
    times = []
    for number in range(given.steps + 3):
        clock = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        if number >= 3:
            times.append(time.perf_counter() - clock)
    if distributed.get_rank() == 0:
        print(statistics.median(times))
    distributed.destroy_process_group()


def run_peer(layout):
    here = [sys.executable, __file__, "--processes", str(given.processes), "--batch", str(given.batch)]
    here += ["--steps", str(given.steps), "--layout", layout]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29541", "WORLD_SIZE": str(given.processes)}
    environment = os.environ | place | {"OMP_NUM_THREADS": "1"}
    start = lambda rank: subprocess.Popen(
        here, env=environment | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True
    )
    processes = [start(rank) for rank in range(given.processes)]
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("error: PyTorch failed; its message is above")
    return given.batch / float(told[0])


def run_ours(program):
    mpirun = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", str(given.processes), program]
    options = ["--workload", "resnet18", "--threads", "1", "--batch", str(given.batch)]
    told = subprocess.run([*mpirun, *options, "--steps", str(given.steps)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(told.stdout)["images_per_second"]


def main():
    if given.batch % given.processes:
        sys.exit("error: --batch must be a multiple of --processes")
    root = Path(__file__).resolve().parents[2]
    build = ["cargo", "build", "--release", "--example", "cluster", "--features", "mpi", "--message-format=json", "--quiet"]
    lines = subprocess.run(build, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    program = next(path for line in lines if (path := json.loads(line).get("executable")))
    speeds = {"ours": [], "gloo nchw": [], "gloo nhwc": []}
    for _ in range(given.rounds):
        speeds["ours"].append(run_ours(program))
        for layout in ["nchw", "nhwc"]:
            speeds[f"gloo {layout}"].append(run_peer(layout))
    middle = {name: statistics.median(figures) for name, figures in speeds.items()}
    for name, figures in speeds.items():
        print(f"{name:10} {middle[name]:7.1f} images per second ({min(figures):.1f} to {max(figures):.1f})")
    best = max(speed for name, speed in middle.items() if name != "ours")
    print(f"ours / the best of PyTorch's: {middle['ours'] / best:.2f}")


peer() if given.layout else main()
