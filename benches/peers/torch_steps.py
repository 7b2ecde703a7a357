"""One workload in PyTorch, in one setting; prints the line of measuring.py."""

import measuring

given = measuring.options(
    layout=["nchw", "nhwc"], mode=["eager", "compiled"], optimizer=["plain", "fused", "foreach"]
)

import torch  # noqa: E402 (the options are checked before seconds are spent on imports)
from torch._inductor import config as inductor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import made_up  # noqa: E402
import torch_networks  # noqa: E402
import torch_senses  # noqa: E402

# Before any thread is started: threads inherit it.
torch.set_flush_denormal(True)
torch.set_num_threads(given.threads)
torch.manual_seed(1)
senses = given.workload in measuring.SENSES
channels_last = {"memory_format": torch.channels_last if given.layout == "nhwc" else torch.contiguous_format}


def tensor(images):
    """[N, H, W, C] as the [N, C, H, W] that PyTorch indexes, in the layout that was asked for."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(**channels_last)


model = (torch_senses if senses else torch_networks).network(given.workload)
if senses:
    torch_senses.arrange(model, given.layout)
else:
    model.to(**channels_last)
parameters = sum(p.numel() for p in model.parameters())
images = made_up.images(given.workload, given.batch)
images = torch_senses.arranged(given.workload, images, given.layout) if senses else tensor(images)
compiled = torch.compile if given.mode == "compiled" else lambda function: function


def training():
    if given.workload == "mtl64" or given.workload.startswith("video-"):
        targets = made_up.multitask(given.batch)
        maps = {name: tensor(targets[name]) for name in ["heat", "sides", "positive"]}
        targets |= {name: torch.from_numpy(targets[name]) for name in ["classes", "pixels"]} | maps
        if senses:
            targets["motions"] = torch.arange(given.batch) % torch_senses.MOTIONS
            loss_of = lambda x: torch_senses.loss(model(x), targets)
        else:
            loss_of = lambda x: torch_networks.multitask_loss(model(x), targets)
    else:
        labels = torch.from_numpy(made_up.labels(given.workload, given.batch))
        loss_of = lambda x: F.cross_entropy(model(x), labels)
    loss_of = compiled(loss_of)
    # Neither fused nor foreach by default: that is what `plain` asks for.
    kind = {} if given.optimizer == "plain" else {given.optimizer: True}
    if given.workload in ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0"]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **kind)
    else:
        rate = 1e-4 if given.workload in ["convnext_tiny", "vit_small"] else 1e-3
        optimizer = torch.optim.Adam(model.parameters(), lr=rate, **kind)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference():
    model.eval()
    if given.mode == "compiled":
        # Weights are constants: batch norms are folded into the convolutions.
        inductor.freezing = True
    # What is compiled with frozen weights refuses inference mode.
    no_gradient = torch.no_grad if given.mode == "compiled" else torch.inference_mode
    predict = compiled(model)

    def step():
        with no_gradient():
            return predict(images).flatten()[0].item()

    return step


measuring.report(given, parameters, training() if given.workload in measuring.TRAINING else inference())
