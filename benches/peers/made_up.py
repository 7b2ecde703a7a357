"""The data of examples/workloads, number for number: images are a sine of their
index, labels and targets follow from the position. Images are [N, H, W, C]."""

import numpy as np

SIZES = {"seed32": 32, "seed224": 224, "resnet18": 32, "mtl64": 64, "infer-seed32": 32, "infer-resnet18": 32}
CLASSES = {"seed32": 10, "seed224": 1000, "resnet18": 10, "mtl64": 10, "infer-seed32": 10, "infer-resnet18": 10}
GRID = 8


def wave(*shape):
    return np.sin(np.arange(np.prod(shape), dtype=np.float32) * np.float32(0.37)).reshape(shape)


def images(workload, batch):
    size = SIZES[workload]
    return wave(batch, size, size, 3)


def labels(workload, batch):
    # Labels are bytes on our side, so that not all of the 1,000 classes occur.
    return np.arange(batch, dtype=np.int64) % min(CLASSES[workload], 250)


def multitask(batch):
    """Targets of mtl64: classes [N], pixels [N, 64, 64], heat [N, 8, 8, 10],
    sides [N, 8, 8, 5], positive [N, 8, 8, 1], and the number of objects."""
    image, row, column = np.ogrid[:batch, :64, :64]
    pixels = (image + row // 8 + column // 8) % 11
    image, place = np.ogrid[:batch, : GRID * GRID]
    positive = (image + place) % 16 == 0
    kind = (image + place // 16) % 10
    heat = positive[..., None] & (kind[..., None] == np.arange(10))
    shape = (batch, GRID, GRID)
    return {
        "classes": np.arange(batch, dtype=np.int64) % 10,
        "pixels": pixels.astype(np.int64),
        "heat": heat.reshape(*shape, 10).astype(np.float32),
        "sides": wave(*shape, 5),
        "positive": positive.reshape(*shape, 1).astype(np.float32),
        "objects": float(positive.sum()),
    }
