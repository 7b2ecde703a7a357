"""The networks of examples/workloads in PyTorch, with the modules anyone would use."""

import torch
from torch import nn
from torch.nn import functional as F


def seed(size, classes):
    left = ((size - 2) // 2 - 2) // 2
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(left * left * 64, classes),
    )  # fmt: skip


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Identity()
        if cin != cout or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


def resnet18(classes=10):
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    cin = 64
    for cout, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        layers += [BasicBlock(cin, cout, stride), BasicBlock(cout, cout, 1)]
        cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


class PlainHeads(nn.Module):
    def __init__(self):
        super().__init__()
        stages, cin = [], 3
        for cout in [32, 64, 128, 128]:
            stage = []
            for channels in [cin, cout]:
                stage += [nn.Conv2d(channels, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]
            stages.append(nn.Sequential(*stage))
            cin = cout
        self.stages = nn.ModuleList(stages)
        self.classify = nn.Linear(cin, 10)
        self.segment = nn.Conv2d(2 * cin, 11, 1)
        self.detect = nn.Sequential(
            nn.Conv2d(cin, 64, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(64, 15, 1),
        )  # fmt: skip

    def forward(self, x):
        for index, stage in enumerate(self.stages):
            x = stage(x if index == 0 else F.max_pool2d(x, 2))
            if index == 2:
                quarter = x
        classes = self.classify(x.mean((2, 3)))
        enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        pixels = self.segment(torch.cat([quarter, enlarged], 1))
        pixels = F.interpolate(pixels, scale_factor=4, mode="bilinear", align_corners=False)
        return classes, pixels, self.detect(x)


def focal(logits, target):
    """The sum of RetinaNet's focal losses, as torchvision computes it."""
    p = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_target = p * target + (1 - p) * (1 - target)
    alpha = 0.25 * target + 0.75 * (1 - target)
    return (alpha * (1 - p_target) ** 2 * entropy).sum()


def multitask_loss(outputs, targets):
    classes, pixels, positions = outputs
    sides = F.smooth_l1_loss(positions[:, 10:], targets["sides"], reduction="none") * targets["positive"]
    return (
        F.cross_entropy(classes, targets["classes"])
        + F.cross_entropy(pixels, targets["pixels"])
        + focal(positions[:, :10], targets["heat"]) / targets["objects"]
        + sides.sum() / targets["objects"]
    )


class Unet(nn.Module):
    WIDTHS = [32, 64, 128, 256, 512]

    def __init__(self, classes=21):
        super().__init__()
        down, cin = [], 3
        for width in self.WIDTHS:
            down.append(self.level(cin, width))
            cin = width
        self.down = nn.ModuleList(down)
        pairs = list(zip(self.WIDTHS, self.WIDTHS[1:]))[::-1]
        self.up = nn.ModuleList(self.level(fine + coarse, fine) for fine, coarse in pairs)
        self.head = nn.Conv2d(self.WIDTHS[0], classes, 1)

    @staticmethod
    def level(cin, cout):
        return nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x):
        skips = []
        for depth, level in enumerate(self.down):
            if depth > 0:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = level(x)
        for level in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = level(torch.cat([skips.pop(), x], 1))
        return self.head(x)


def network(workload):
    name = workload.removeprefix("infer-")
    if name == "seed32":
        return seed(32, 10)
    if name == "seed224":
        return seed(224, 1000)
    if name == "resnet18":
        return resnet18()
    if name == "unet":
        return Unet()
    if name == "vit_small":
        import timm

        return timm.create_model("vit_small_patch16_224")
    if name in ["resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"]:
        import torchvision

        return torchvision.models.get_model(name)
    return PlainHeads()
