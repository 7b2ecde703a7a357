"""Microseconds that TorchJD's weightings take on random Gramians, one thread.

The counterpart of benches/balance.rs:

    pip install torch torchjd[nash_mtl,cagrad]
    python benches/peers/torchjd_solvers.py

Each figure is the median over 50 random Jacobians (T tasks, 32 columns), with an
instance that is reused, after a first call that is not counted.
"""

import statistics
import time
from importlib.metadata import version

import torch
from torchjd.aggregation import (
    AlignedMTL,
    CAGrad,
    ConFIG,
    DualProj,
    IMTLG,
    MGDA,
    NashMTL,
    UPGrad,
)


def median_microseconds(make, tasks):
    generator = torch.Generator().manual_seed(tasks)
    aggregator = make(tasks)
    times = []
    for index in range(51):
        jacobian = torch.rand(tasks, 32, generator=generator, dtype=torch.float64) - 0.5
        start = time.perf_counter()
        aggregator(jacobian)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1e6


def main():
    torch.set_num_threads(1)
    rules = {
        "MGDA": lambda tasks: MGDA(),
        "UPGrad": lambda tasks: UPGrad(),
        "DualProj": lambda tasks: DualProj(),
        "CAGrad c=0.4": lambda tasks: CAGrad(c=0.4),
        "Nash-MTL": lambda tasks: NashMTL(n_tasks=tasks),
        "Aligned-MTL": lambda tasks: AlignedMTL(),
        "IMTL-G": lambda tasks: IMTLG(),
        "ConFIG": lambda tasks: ConFIG(),
    }
    print(f"torch {torch.__version__}, torchjd {version('torchjd')}")
    print(f"{'tasks':<14}" + "".join(f"{tasks:>10}" for tasks in (2, 3, 4, 8)) + "  microseconds")
    for name, make in rules.items():
        cells = [f"{median_microseconds(make, tasks):10.1f}" for tasks in (2, 3, 4, 8)]
        print(f"{name:<14}" + "".join(cells))


if __name__ == "__main__":
    main()
