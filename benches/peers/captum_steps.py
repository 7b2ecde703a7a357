"""Maps of one number of each head by captum, in one setting; prints the line of measuring.py.

Captum explains one number at a time, so every head is a function of its own that runs
the trunk and nothing of the other heads."""

import measuring

given = measuring.options(layout=["nchw", "nhwc"], chunk=["all", "few", "one"])

import torch  # noqa: E402 (the options are checked before seconds are spent on imports)
from captum.attr import IntegratedGradients, Occlusion  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import made_up  # noqa: E402
import torch_networks  # noqa: E402

torch.set_flush_denormal(True)
torch.set_num_threads(given.threads)
torch.manual_seed(1)
layout = {"memory_format": torch.channels_last if given.layout == "nhwc" else torch.contiguous_format}
model = torch_networks.PlainHeads().eval().to(**layout)
parameters = sum(p.numel() for p in model.parameters())
# Nothing is trained: no gradients for the weights.
for parameter in model.parameters():
    parameter.requires_grad_(False)
images = torch.from_numpy(made_up.images("mtl64", given.batch)).permute(0, 3, 1, 2).contiguous(**layout)


def trunk(x):
    for index, stage in enumerate(model.stages):
        x = stage(x if index == 0 else F.max_pool2d(x, 2))
        if index == 2:
            quarter = x
    return quarter, x


def of_class(x):
    return model.classify(trunk(x)[1].mean((2, 3)))[:, 0]


def of_pixel(x):
    quarter, x = trunk(x)
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    pixels = model.segment(torch.cat([quarter, enlarged], 1))
    pixels = F.interpolate(pixels, scale_factor=4, mode="bilinear", align_corners=False)
    return pixels[:, 0, 32, 32]


def of_position(x):
    return model.detect(trunk(x)[1])[:, 0, 4, 4]


heads = [of_class, of_pixel, of_position]
STEPS, WINDOWS = 50, 225


def gradients(head):
    at_once = {"all": None, "few": 10 * given.batch, "one": given.batch}[given.chunk]
    method = IntegratedGradients(head)
    return method.attribute(images, n_steps=STEPS, method="gausslegendre", internal_batch_size=at_once)


def occlusion(head):
    at_once = {"all": WINDOWS, "few": 25, "one": 1}[given.chunk]
    options = {"sliding_window_shapes": (3, 8, 8), "strides": (3, 4, 4), "perturbations_per_eval": at_once}
    with torch.no_grad():
        return Occlusion(head).attribute(images, **options)


explain = gradients if given.workload == "explain-gradients" else occlusion


def step():
    return sum(explain(head).sum().item() for head in heads)


measuring.report(given, parameters, step)
