"""The networks of examples/workloads/senses.rs in PyTorch: sounds through their
log-mel frames, and clips with four plain heads."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from torch_networks import multitask_loss

RATE, WINDOW, N_FFT, HOP, BANDS = 8000, 200, 256, 80, 40
# The most frames and bands that are hidden of a spectrogram in training.
HIDDEN = [12, 6]
STAGES = [[32], [64, 64], [128, 128], [128, 128]]
CLIP_STAGES = [32, 64, 128, 128]
FRAMES, MOTIONS, CLASSES = 6, 12, 10


def block(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


def stages_of(cin, widths):
    stages = nn.ModuleList()
    for stage in widths:
        blocks = []
        for cout in stage:
            blocks.append(block(cin, cout))
            cin = cout
        stages.append(nn.Sequential(*blocks))
    return stages


def mel_filters():
    """Triangles of height 1 that are evenly spaced on the HTK scale, [bins, bands]."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, BANDS + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


class Sounds(nn.Module):
    """[N, samples] to the logits of classes. The spectrogram is computed of the whole
    batch at once, which is the fastest way here, and needs no gradient."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", mel_filters())
        self.stages = stages_of(1, [[16], [32, 32], [64, 64], [96]])
        self.attention = nn.Conv2d(96, 1, 1)
        self.output = nn.Linear(96, CLASSES)

    @torch.no_grad()
    def log_mel(self, x):
        bins = torch.stft(x, N_FFT, HOP, WINDOW, self.window, pad_mode="reflect", return_complex=True)
        energies = torch.view_as_real(bins).square().sum(-1).transpose(1, 2)
        mels = (energies @ self.filters).clamp(min=1e-6).log()
        variance, mean = torch.var_mean(mels, (1, 2), correction=0, keepdim=True)
        mels = (mels - mean) * torch.rsqrt(variance + 1e-12)
        for axis, most in [(1, HIDDEN[0]), (2, HIDDEN[1])]:
            places = torch.arange(mels.shape[axis])
            places = places[None, :, None] if axis == 1 else places[None, None, :]
            count = (torch.rand(len(x), 1, 1) * (most + 1)).floor()
            start = (torch.rand(len(x), 1, 1) * (mels.shape[axis] - count + 1)).floor()
            # The mean is 0.
            mels = mels.masked_fill((places >= start) & (places < start + count), 0.0)
        return mels.unsqueeze(1)

    def forward(self, x):
        x = self.log_mel(x)
        for index, stage in enumerate(self.stages):
            x = stage(x if index == 0 else F.max_pool2d(x, 2))
        weights = torch.softmax(self.attention(x).flatten(2), 2)
        return self.output((x.flatten(2) * weights).sum(2))


class FrameTrunk(nn.Module):
    """The default trunk of images on frames [N, T, H, W, 3] that are stacked as channels, or one by one with channels
    shifted between them, as the authors of TSM do it."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift
        self.stages = stages_of(3 if shift else 3 * FRAMES, STAGES)
        self.lateral = nn.Conv2d(STAGES[-1][-1], STAGES[-2][-1], 1)

    def shifted(self, x):
        if not self.shift:
            return x
        frames = x.unflatten(0, (-1, FRAMES))
        fold = x.shape[1] // 8
        y = torch.zeros_like(frames)
        y[:, :-1, :fold] = frames[:, 1:, :fold]
        y[:, 1:, fold : 2 * fold] = frames[:, :-1, fold : 2 * fold]
        y[:, :, 2 * fold :] = frames[:, :, 2 * fold :]
        return y.flatten(0, 1)

    def forward(self, x):
        for index, stage in enumerate(self.stages):
            x = self.shifted(stage(x if index == 0 else F.max_pool2d(x, 2)))
            if index == len(self.stages) - 2:
                quarter = x
        quarter = quarter + F.interpolate(self.lateral(x), scale_factor=2)
        if not self.shift:
            return quarter, x, x.mean((2, 3))
        last = lambda map: map.unflatten(0, (-1, FRAMES))[:, -1]
        return last(quarter), last(x), x.unflatten(0, (-1, FRAMES)).mean((1, 3, 4))


class VolumeTrunk(nn.Module):
    """Convolutions of 3x3x3, or of 1x3x3 and 3x1x1, on clips [N, 3, T, H, W]."""

    def __init__(self, factorised):
        super().__init__()
        self.stages, cin = nn.ModuleList(), 3
        for cout in CLIP_STAGES:
            if factorised:
                middle = 27 * cin * cout // (9 * cin + 3 * cout)
                steps = [(cin, middle, (1, 3, 3)), (middle, cout, (3, 1, 1))]
            else:
                steps = [(cin, cout, (3, 3, 3))]
            layers = []
            for inputs, outputs, kernel in steps:
                conv = nn.Conv3d(inputs, outputs, kernel, padding=tuple(k // 2 for k in kernel), bias=False)
                layers += [conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]
            self.stages.append(nn.Sequential(*layers))
            cin = cout

    def forward(self, x):
        maps = []
        for index, stage in enumerate(self.stages):
            if index > 0:
                x = F.max_pool3d(x, (2 if index > 1 else 1, 2, 2), ceil_mode=True)
            x = stage(x)
            maps.append(x[:, :, -1])
        return maps[-2], maps[-1], x.mean((2, 3, 4))


class Moving(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        volume = encoder in ["conv3d", "r2plus1d"]
        self.trunk = VolumeTrunk(encoder == "r2plus1d") if volume else FrameTrunk(encoder == "shift")
        deep = CLIP_STAGES[-1]
        self.motion = nn.Linear(deep, MOTIONS)
        self.subject = nn.Linear(deep, CLASSES)
        self.segment = nn.Conv2d(CLIP_STAGES[-2] + deep, CLASSES + 1, 1)
        self.detect = nn.Sequential(
            nn.Conv2d(deep, 64, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(64, CLASSES + 5, 1),
        )  # fmt: skip

    def forward(self, x):
        quarter, eighth, pooled = self.trunk(x)
        enlarged = F.interpolate(eighth, scale_factor=2, mode="bilinear", align_corners=False)
        pixels = self.segment(torch.cat([quarter, enlarged], 1))
        pixels = F.interpolate(pixels, scale_factor=4, mode="bilinear", align_corners=False)
        return (self.subject(pooled), pixels, self.detect(eighth)), self.motion(pooled)


def loss(outputs, targets):
    plain, motion = outputs
    return multitask_loss(plain, targets) + F.cross_entropy(motion, targets["motions"])


def network(workload):
    return Sounds() if workload == "audio-mel" else Moving(workload.removeprefix("video-"))


def arrange(model, layout):
    """Gives the weights of convolutions the layout that was asked for."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if layout == "nhwc" else {}
    for parameter in model.parameters():
        format = formats.get(parameter.dim(), torch.contiguous_format)
        parameter.data = parameter.data.contiguous(memory_format=format)


def arranged(workload, values, layout):
    """Sounds [N, samples] as they are, clips [N, T, H, W, C] as the network indexes them, in the layout that was
    asked for."""
    values = torch.from_numpy(values)
    if workload == "audio-mel":
        return values
    last = layout == "nhwc"
    if workload in ["video-conv3d", "video-r2plus1d"]:
        format = torch.channels_last_3d if last else torch.contiguous_format
        return values.permute(0, 4, 1, 2, 3).contiguous(memory_format=format)
    format = torch.channels_last if last else torch.contiguous_format
    if workload == "video-stack":
        # [N, H, W, T C]
        stacked = values.permute(0, 2, 3, 1, 4).flatten(3)
        return stacked.permute(0, 3, 1, 2).contiguous(memory_format=format)
    return values.flatten(0, 1).permute(0, 3, 1, 2).contiguous(memory_format=format)
