"""The data of examples/workloads, number for number: images are a sine of their
index, labels and targets follow from the position. Images are [N, H, W, C], sounds
[N, samples], clips [N, T, H, W, C]."""

import numpy as np

# Others have images of 224 pixels and 1,000 classes.
SIZES = {"seed32": 32, "resnet18": 32, "mtl64": 64, "unet": 256}
CLASSES = {"seed32": 10, "resnet18": 10, "mtl64": 10, "audio-mel": 10}
UNET_CLASSES = 21
GRID = 8


def wave(*shape):
    return np.sin(np.arange(np.prod(shape), dtype=np.float32) * np.float32(0.37)).reshape(shape)


def images(workload, batch):
    if workload == "audio-mel":
        return wave(batch, 8000)
    if workload.startswith("video-"):
        return wave(batch, 6, 64, 64, 3)
    size = SIZES.get(workload.removeprefix("infer-"), 224)
    return wave(batch, size, size, 3)


def labels(workload, batch):
    if workload == "unet":
        pixels = batch * SIZES["unet"] ** 2
        return (np.arange(pixels, dtype=np.int64) // 977 % UNET_CLASSES).reshape(batch, SIZES["unet"], SIZES["unet"])
    # Labels are bytes on our side, so that not all of the 1,000 classes occur.
    return np.arange(batch, dtype=np.int64) % min(CLASSES.get(workload, 1000), 250)


def multitask(batch):
    """Targets of mtl64 and, beside the motion, of clips: classes [N], pixels [N, 64, 64], heat [N, 8, 8, 10],
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
