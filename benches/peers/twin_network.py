"""The default model of `train` in PyTorch: network, targets and losses, written
from the descriptions and papers that the Rust files name, with PyTorch's own
modules. Images are [N, C, H, W] here; parameters have the names of our
checkpoints. The sizes are those for scenes of 64x64 pixels."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10
STAGES = [[32], [64, 64], [128, 128], [128, 128]]
# Pixels between two positions of the detector's map, and its sides' unit.
STRIDE, UNIT = 4, 8.0
WEIGHTS = {"classify": 1.0, "detect": 1.0, "segment": 1.5}


class Block(nn.Module):
    """[conv 3x3, norm, ReLU]"""

    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        cin = 3
        for s, widths in enumerate(STAGES, 1):
            stage = nn.ModuleDict()
            for b, cout in enumerate(widths, 1):
                stage[f"block{b}"] = Block(cin, cout)
                cin = cout
            self.add_module(f"stage{s}", stage)
        self.lateral = nn.Conv2d(STAGES[-1][-1], STAGES[-2][-1], 1)

    def forward(self, x):
        maps = []
        for s in range(1, len(STAGES) + 1):
            if maps:
                x = F.max_pool2d(x, 2)
            for block in getattr(self, f"stage{s}").values():
                x = block(x)
            maps.append(x)
        return maps, maps[-2] + F.interpolate(self.lateral(x), scale_factor=2, mode="nearest")


class Classify(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.Conv2d(STAGES[-1][-1], 1, 1)
        self.output = nn.Linear(STAGES[-1][-1], CLASSES)

    def forward(self, maps, _merged):
        x = maps[-1]
        weights = self.attention(x).flatten(2).softmax(2)
        return self.output((x.flatten(2) * weights).sum(2))

    def loss(self, logits, batch):
        return F.cross_entropy(logits, batch["classes"])


class Detect(nn.Module):
    def __init__(self):
        super().__init__()
        self.heat = Block(STAGES[-2][-1], 64)
        self.heat_output = nn.Conv2d(64, CLASSES, 1)
        self.sides = Block(STAGES[-2][-1], 64)
        self.sides_output = nn.Conv2d(64, 4, 1)

    def forward(self, _maps, merged):
        return self.heat_output(self.heat(merged)), F.softplus(self.sides_output(self.sides(merged)))

    def loss(self, outputs, batch):
        heat, sides = outputs
        wanted, bounds, weight, count = (batch[name] for name in ["heat", "bounds", "weight", "count"])
        # Law and Deng's focal loss, exponents 2 and 4.
        p, log_p, log_q = heat.sigmoid(), F.logsigmoid(heat), F.logsigmoid(-heat)
        near = torch.where(wanted == 1, (1 - p) ** 2 * log_p, (1 - wanted) ** 4 * p**2 * log_q)
        rows, columns = heat.shape[2:]
        centre = lambda n: (torch.arange(n, dtype=heat.dtype) + 0.5) * STRIDE
        y, x = torch.meshgrid(centre(rows), centre(columns), indexing="ij")
        left, top, right, bottom = (UNIT * sides).unbind(1)
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], 1)
        return -near.sum() / count + 2 * (weight * (1 - generalised_iou(boxes, bounds))).sum() / count


class Segment(nn.Module):
    def __init__(self):
        super().__init__()
        self.from_merged = nn.Conv2d(STAGES[-2][-1], 48, 1)
        self.from_fine = nn.Conv2d(STAGES[-3][-1], 48, 1, bias=False)
        self.mix = Block(48, 48)
        self.output = nn.Conv2d(48, CLASSES + 1, 1)

    def forward(self, maps, merged):
        enlarge = lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.from_fine(maps[-3]) + enlarge(self.from_merged(merged))
        return enlarge(self.output(self.mix(x)))

    def loss(self, logits, batch):
        target = batch["masks"]
        p = logits.softmax(1)
        one_hot = F.one_hot(target, CLASSES + 1).movedim(3, 1).to(p.dtype)
        sums = lambda x: x.sum((0, 2, 3))
        dice = (2 * sums(p * one_hot) + 1) / (sums(p) + sums(one_hot) + 1)
        return F.cross_entropy(logits, target) + 1 - dice[sums(one_hot) > 0].mean()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.heads = nn.ModuleDict({"classify": Classify(), "detect": Detect(), "segment": Segment()})

    def losses(self, batch):
        maps, merged = self.trunk(batch["images"])
        return {name: head.loss(head(maps, merged), batch) for name, head in self.heads.items()}


def generalised_iou(a, b):
    """Rezatofighi et al., 2019; boxes x1, y1, x2, y2 along dimension 1."""
    area = lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    start, end = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    common = (end - start).clamp(min=0).prod(1)
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    union = area(a) + area(b) - common
    return common / (union + 1e-7) - (around.prod(1) - union) / (around.prod(1) + 1e-7)


def detection_targets(objects, images, size):
    """`heat [N, 10, G, G]`, `bounds [N, 4, G, G]`, `weight [N, G, G]` for rows of
    image, class, box. A Gaussian of 0.09 of the box's sides (at least a cell)
    stands on the cell of its centre; where it reaches at least 0.01 inside the box
    the box is learned, and the smallest box has the last word."""
    grid = size // STRIDE
    heat = np.zeros((images, CLASSES, grid, grid))
    bounds = np.zeros((images, 4, grid, grid))
    weight = np.zeros((images, grid, grid))
    centres = (np.arange(grid) + 0.5) * STRIDE
    area = (objects[:, 4] - objects[:, 2]) * (objects[:, 5] - objects[:, 3])
    for image, kind, x1, y1, x2, y2 in objects[np.argsort(-area, kind="stable")]:
        image, kind = int(image), int(kind)
        along = []
        for low, high in [(y1, y2), (x1, x2)]:
            peak = min(int((low + high) / 2 / STRIDE), grid - 1)
            deviation = max(0.09 * (high - low), STRIDE / 4)
            distance = (np.arange(grid) - peak) * STRIDE / deviation
            along.append((distance, (centres >= low) & (centres < high)))
        (dy, in_y), (dx, in_x) = along
        value = np.exp(-0.5 * (dy[:, None] ** 2 + dx[None, :] ** 2))
        value[(value < 0.01) | ~((in_y[:, None] & in_x[None, :]) | (value == 1))] = 0
        there = value > 0
        heat[image, kind] = np.maximum(heat[image, kind], value)
        weight[image][there] = value[there] / value.sum()
        bounds[image][:, there] = np.array([x1, y1, x2, y2])[:, None]
    return heat, bounds, weight
