"""Reference values and gradients of every operation's samples, computed with PyTorch in f64.

Usage: reference.py SAMPLES REFERENCE

SAMPLES is written by the Rust test `values_and_gradients_agree_with_pytorch`: for every sample of an
operation or loss (those are for losses.py) a Python expression of its inputs a, b, c, .., the inputs and the gradient of the output. This program
evaluates the expression and writes the value and the gradient of every input. The helpers below
translate layouts (images are [N, H, W, C] there and [N, C, H, W] here) and write out what PyTorch does
not have.
"""

import json
import math
import sys

import torch
import torch.nn.functional as F


def nchw(x):
    """[N, image.., C] to [N, C, image..]."""
    return x.movedim(-1, 1)


def nhwc(x):
    """[N, C, image..] to [N, image.., C]."""
    return x.movedim(1, -1)


def kernel(weight):
    """[K.., Cin/groups, Cout] to [Cout, Cin/groups, K..]."""
    return weight.movedim(-1, 0).movedim(-1, 1)


def padded(x, padding):
    top, bottom, left, right = padding
    return F.pad(nchw(x), (left, right, top, bottom))


NONE = (0, 0, 0, 0)


def conv2d(x, weight, bias=None, stride=(1, 1), padding=NONE, dilation=(1, 1), groups=1):
    x = padded(x, padding)
    return nhwc(F.conv2d(x, kernel(weight), bias, tuple(stride), 0, tuple(dilation), groups))


def conv_transpose2d(x, weight, stride=(1, 1), padding=NONE, dilation=(1, 1), groups=1, extra=(0, 0)):
    # Ours is [KH, KW, Cout/groups, Cin], PyTorch's [Cin, Cout/groups, KH, KW].
    pad = (padding[0], padding[2])
    assert padding[0] == padding[1] and padding[2] == padding[3]
    y = F.conv_transpose2d(nchw(x), kernel(weight), None, tuple(stride), pad, tuple(extra), groups, tuple(dilation))
    return nhwc(y)


def conv2d_weight_gradient(x, shape, g, stride=(1, 1), padding=NONE, dilation=(1, 1), groups=1):
    weight = torch.zeros(shape, dtype=x.dtype, requires_grad=True)
    y = conv2d(x, weight, None, stride, padding, dilation, groups)
    return torch.autograd.grad(y, weight, g, create_graph=True)[0]


def conv1d(x, weight, bias, stride, padding, dilation, groups):
    return nhwc(F.conv1d(nchw(x), kernel(weight), bias, stride, padding, dilation, groups))


def conv3d(x, weight, bias, stride, padding, dilation, groups):
    arguments = tuple(stride), tuple(padding), tuple(dilation)
    return nhwc(F.conv3d(nchw(x), kernel(weight), bias, *arguments, groups))


def conv_transpose3d(x, weight, stride, padding, dilation, groups, extra):
    # Ours is [KD, KH, KW, Cout/groups, Cin], PyTorch's [Cin, Cout/groups, KD, KH, KW].
    numbers = tuple(stride), tuple(padding), tuple(extra), groups, tuple(dilation)
    return nhwc(F.conv_transpose3d(nchw(x), kernel(weight), None, *numbers))


def max_pool(x, size, stride, padding, ceil_mode=False):
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(size) - 1]
    return nhwc(pool(nchw(x), tuple(size), tuple(stride), tuple(padding), ceil_mode=ceil_mode))


def avg_pool(x, size, stride, padding, count_padding, ceil_mode=False):
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(size) - 1]
    return nhwc(pool(nchw(x), tuple(size), tuple(stride), tuple(padding), ceil_mode, count_padding))


def adaptive_avg_pool(x, size):
    return nhwc(F.adaptive_avg_pool2d(nchw(x), tuple(size)))


def adaptive_max_pool(x, size):
    return nhwc(F.adaptive_max_pool2d(nchw(x), tuple(size)))


def resize(x, size, mode, align_corners=False):
    if mode == "nearest":
        return nhwc(F.interpolate(nchw(x), tuple(size), mode=mode))
    return nhwc(F.interpolate(nchw(x), tuple(size), mode=mode, align_corners=align_corners))


def unfold(x, size, stride=(1, 1), padding=NONE, dilation=(1, 1), groups=1):
    n, c = x.shape[0], x.shape[3]
    x = padded(x, padding)
    outputs = [(x.shape[2 + i] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    if n == 0:
        return x.new_zeros((0, *outputs, size[0] * size[1] * c)) + x.sum()
    rows = F.unfold(x, tuple(size), tuple(dilation), 0, tuple(stride))  # [N, C KH KW, OH OW]
    rows = rows.reshape(n, c, size[0] * size[1], *outputs)
    return rows.permute(0, 3, 4, 2, 1).reshape(n, *outputs, -1)


def fold(x, image, size, stride=(1, 1), padding=NONE, dilation=(1, 1), groups=1):
    n, oh, ow, row = x.shape
    c = row // (size[0] * size[1])
    if n == 0:
        return x.new_zeros((0, *image, c)) + x.sum()
    rows = x.reshape(n, oh * ow, size[0] * size[1], c).permute(0, 3, 2, 1).reshape(n, -1, oh * ow)
    pad = (padding[0], padding[2])
    return nhwc(F.fold(rows, tuple(image), tuple(size), tuple(dilation), pad, tuple(stride)))


def batch_norm(x, gamma, beta):
    c = x.shape[-1]
    return F.batch_norm(x.reshape(-1, c), None, None, gamma, beta, True, 0.0, 1e-5).reshape(x.shape)


def roi_align(x, boxes, size, samples):
    """The definition, as in torchvision's `roi_align(.., aligned=True)`."""

    def reading(image, y, x_):
        h, w = image.shape[:2]
        if y < -1 or y > h or x_ < -1 or x_ > w:
            return image.new_zeros(image.shape[2])
        y, x_ = min(max(y, 0.0), h - 1.0), min(max(x_, 0.0), w - 1.0)
        y0, x0 = int(y), int(x_)
        y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
        fy, fx = y - y0, x_ - x0
        upper = (1 - fx) * image[y0, x0] + fx * image[y0, x1]
        lower = (1 - fx) * image[y1, x0] + fx * image[y1, x1]
        return (1 - fy) * upper + fy * lower

    ph, pw = size
    out = []
    for image, x1, y1, x2, y2 in boxes:
        x1, y1, x2, y2 = x1 - 0.5, y1 - 0.5, x2 - 0.5, y2 - 0.5
        for i in range(ph):
            for j in range(pw):
                readings = [
                    reading(
                        x[image],
                        y1 + (y2 - y1) / ph * (i + (a + 0.5) / samples),
                        x1 + (x2 - x1) / pw * (j + (b + 0.5) / samples),
                    )
                    for a in range(samples)
                    for b in range(samples)
                ]
                out.append(sum(readings) / len(readings))
    return torch.stack(out).reshape(len(boxes), ph, pw, -1)


def constant(values, shape):
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def to_tensor(value):
    data = [float(x) for x in value["data"]]
    return torch.tensor(data, dtype=torch.float64).reshape(value["shape"])


def to_json(x):
    numbers = [x if math.isfinite(x) else {"inf": "inf", "-inf": "-inf"}.get(str(x), "NaN") for x in x.flatten().tolist()]
    return {"shape": list(x.shape), "data": numbers}


def results(sample, helpers):
    inputs = [to_tensor(x).requires_grad_() for x in sample["inputs"]]
    names = dict(zip("abcdef", inputs))
    y = eval(sample["torch"], helpers, names)
    cotangent = to_tensor(sample["cotangent"])
    assert y.shape == cotangent.shape, f"{sample['name']}: {tuple(y.shape)} is not {tuple(cotangent.shape)}"
    gradients = [None] * len(inputs)
    if y.requires_grad:
        gradients = torch.autograd.grad(y, inputs, cotangent, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients)]
    return [to_json(x) for x in [y.detach(), *gradients]]


def write(helpers, of_losses):
    """Evaluates the samples of operations or of losses with these names, as the program's arguments say."""
    torch.set_num_threads(1)
    samples = [sample for sample in json.load(open(sys.argv[1])) if sample["loss"] == of_losses]
    cases, failed = {}, False
    for sample in samples:
        assert sample["name"] not in cases, f"two samples are called {sample['name']}"
        try:
            found = results(sample, helpers)
            cases[sample["name"]] = {"fingerprint": sample["fingerprint"], "results": found}
        except Exception as error:  # All of them are worth seeing at once.
            print(f"{sample['name']}: {sample['torch']}: {error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)
    with open(sys.argv[2], "w") as file:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
        file.write(f'{{"torch": "{torch.__version__}", "cases": {{\n{lines}\n}}}}\n')
    print(f"{len(cases)} samples with torch {torch.__version__}")


if __name__ == "__main__":
    write(globals(), of_losses=False)
