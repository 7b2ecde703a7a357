"""Weights of PyTorch's networks, imported, run and exported again.

Usage: networks.py IMPORT [NAME ..]

IMPORT is the program `target/release/examples/import`. For every network in the list below (or those that are named),
random weights are saved as a state dict, imported, run on random images, and written back. The logits must agree with
PyTorch's to 1e-4 (of the largest one, if that is above 1), and the file must come back with the same bytes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn


def torchvision_network(name, channels=3, classes=1000):
    model = torchvision.models.get_model(name, num_classes=classes)
    if channels != 3:
        old = model.conv1
        model.conv1 = nn.Conv2d(channels, 64, old.kernel_size, old.stride, old.padding, bias=False)
    return model


def for_small_images(name):
    model = torchvision_network(name, classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    return model


# Our name, a title, how PyTorch builds it, and the sides of the images.
NETWORKS = [
    *((name, name, lambda name=name: torchvision_network(name), (96, 128)) for name in [
        "resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
        "efficientnet_b0", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn",
    ]),
    ("resnet18", "resnet18, 5 classes of gray images", lambda: torchvision_network("resnet18", 1, 5), (75, 98)),
    ("resnet18-cifar", "resnet18-cifar", lambda: for_small_images("resnet18"), (32, 32)),
    ("resnet50-cifar", "resnet50-cifar", lambda: for_small_images("resnet50"), (32, 32)),
    ("convnext_tiny", "convnext_tiny", lambda: torchvision_network("convnext_tiny"), (96, 128)),
    ("convnext_tiny", "convnext_tiny of timm", lambda: timm.create_model("convnext_tiny"), (96, 128)),
    ("vit_b_16", "vit_b_16 of torchvision", lambda: torchvision_network("vit_b_16"), (224, 224)),
    *((name, f"{name} of timm", lambda name=timms: timm.create_model(name), (224, 224)) for name, timms in [
        ("vit_tiny", "vit_tiny_patch16_224"), ("vit_small", "vit_small_patch16_224"), ("vit_b_16", "vit_base_patch16_224"),
    ]),
    ("resnet18", "resnet18 of timm", lambda: timm.create_model("resnet18"), (96, 128)),
    ("mobilenet_v2", "mobilenet_v2 of timm", lambda: timm.create_model("mobilenetv2_100"), (75, 98)),
    ("efficientnet_b0", "efficientnet_b0 of timm", lambda: timm.create_model("efficientnet_b0"), (75, 98)),
]


def randomise(model, images):
    """Random scales and shifts, and running statistics near those of the images, so that values stay of order one."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    for name, parameter in model.named_parameters():
        if name.endswith(("layer_scale", ".gamma")):
            nn.init.uniform_(parameter, 0.2, 0.6)
        if name.endswith(("head.weight", "heads.head.weight")):
            nn.init.normal_(parameter, 0.0, 0.05)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        deviation = norm.running_var.sqrt()
        norm.running_mean += 0.1 * deviation * torch.randn_like(deviation)
        norm.running_var *= torch.empty_like(deviation).uniform_(0.7, 1.4)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.normal_(module.bias, 0.0, 0.5)


def compare(program, name, build, sides, folder):
    """The largest difference between logits, and whether the file came back as it was."""
    torch.manual_seed(1)
    model = build()
    channels = next(p for p in model.parameters() if p.dim() == 4).shape[1]
    randomise(model, torch.randn(4, channels, *sides))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    counted, plain, images = (folder / f"{kind}.safetensors" for kind in ["counted", "plain", "images"])
    save_file(state, counted, {"format": "pt"})
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, plain, {"format": "pt"})
    x = torch.randn(2, channels, *sides)
    save_file({"images": x.permute(0, 2, 3, 1).contiguous()}, images)
    with torch.no_grad():
        expected = model.eval()(x)
    out = folder / "out"
    command = [program, "--model", counted, "--out", out, "--check", images]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not run.stdout.startswith(f"{name} with ") or run.returncode != 0:
        sys.exit(f"{name} was not imported")
    found = load_file(out / "logits.safetensors")["logits"]
    assert found.shape == expected.shape, (found.shape, expected.shape)
    back = out / "torch.safetensors"
    # PyTorch takes what is written, counts of batches or not.
    build().load_state_dict(load_file(back))
    difference = (found - expected).abs().max() / max(1.0, expected.abs().max())
    return difference.item(), expected.std().item(), back.read_bytes() == plain.read_bytes()


def main():
    program, *names = sys.argv[1:]
    failed = False
    for name, title, build, sides in NETWORKS:
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            difference, spread, same = compare(program, name, build, sides, Path(folder))
        right = difference <= 1e-4 and same and spread > 1e-3
        failed |= not right
        print(f"{title:<36} difference {difference:.1e}, logits of deviation {spread:.2f}, "
              f"{'the same bytes back' if same else 'OTHER BYTES BACK'}{'' if right else '  WRONG'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
