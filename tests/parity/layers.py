"""Outputs and gradients of layers with parameters or of several operations, computed with PyTorch in f64.

Usage: layers.py REFERENCE

The samples are those of `crates/nn/src/layers/tests/samples.rs`, by name. Both sides compute inputs and
parameters from the same formulas: the input holds 1.2 sin(0.3 i + 0.5) at place i, parameter k of a layer
sin(0.7 i + k), the gradient of the output cos(0.9 i + 0.1). The reference holds, by name, the output, the
gradient of the input (unless that is ids) and the gradient of every parameter, in our layouts.
"""

import json
import math
import sys
from functools import partial

import torch
from torch import nn
from torch.func import functional_call

from reference import kernel, nchw, nhwc

torch.set_default_dtype(torch.float64)


def places(shape):
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)


def call(module, x, **parameters):
    """The module in training with these parameters."""
    return functional_call(module.train(), parameters, (x,))


def image(module, **names):
    """A module on [N, C, image..] as a function on [N, image.., C]; our parameters in the order of `names`, each
    with the function that turns it into PyTorch's."""

    def run(x, *parameters):
        assert len(parameters) == len(names)
        converted = {name: f(p) for (name, f), p in zip(names.items(), parameters)}
        return nhwc(call(module, nchw(x), **converted))

    return run


def same(p):
    return p


def linear(p):
    """[in, out] to [out, in]."""
    return p.T


AFFINE = {"weight": same, "bias": same}
KERNEL = {"weight": kernel, "bias": same}


def linear_layer(x, weight, bias=None):
    return nn.functional.linear(x, weight.T, bias)


def separable(x, depthwise, pointwise, bias):
    x = call(nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False), nchw(x), weight=kernel(depthwise))
    return nhwc(call(nn.Conv2d(2, 3, 1), x, weight=kernel(pointwise), bias=bias))


def batch_norm2d_relu(x, gamma, beta):
    return image(nn.BatchNorm2d(2), **AFFINE)(x, gamma, beta).relu()


def conv2d_relu(x, weight, bias):
    return image(nn.Conv2d(2, 3, 3, padding=1), **KERNEL)(x, weight, bias).relu()


def rms_norm(x, gamma):
    return call(nn.RMSNorm(4, eps=1e-5), x, weight=gamma)


def embedding(x, weight):
    return call(nn.Embedding(5, 3), x.long(), weight=weight)


def residual_relu(x, weight, bias):
    return (x + image(nn.Conv2d(2, 2, 3, padding=1), **KERNEL)(x, weight, bias)).relu()


def residual_projected(x, weight, bias, projection, projection_bias):
    past = image(nn.Conv2d(2, 3, 1), **KERNEL)(x, projection, projection_bias)
    return past + image(nn.Conv2d(2, 3, 3, padding=1), **KERNEL)(x, weight, bias)


def conv_norm(cin, cout, size, stride=1, groups=1, eps=1e-5):
    conv = nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout, eps)]


def inverted(*layers):
    """A sequence of convolutions, each with its norm, and ReLU6 between them."""
    module, names = [], {}
    for pair in layers:
        conv, norm = len(module), len(module) + 1
        names |= {f"{conv}.weight": kernel, f"{norm}.weight": same, f"{norm}.bias": same}
        module += [*pair, nn.ReLU6()]
    return image(nn.Sequential(*module[:-1]), **names)


def inverted_expanded(x, *parameters):
    block = inverted(conv_norm(2, 4, 1), conv_norm(4, 4, 3, groups=4), conv_norm(4, 2, 1))
    return x + block(x, *parameters)


def squeeze_excitation(x, *parameters, gate=torch.sigmoid):
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1))
    names = {"1.weight": kernel, "1.bias": same, "3.weight": kernel, "3.bias": same}
    return x * gate(image(module, **names)(x, *parameters))


def hardsigmoid(x):
    """PyTorch's own has a gradient with a sixth in single precision."""
    return nn.functional.relu6(x + 3) / 6


def inverted_squeezed(x, *parameters):
    def normed(*sizes, groups=1):
        module = nn.Sequential(*conv_norm(*sizes, groups=groups, eps=1e-3))
        return image(module, **{"0.weight": kernel, "1.weight": same, "1.bias": same})

    y = normed(2, 4, 1)(x, *parameters[:3])
    y = normed(4, 4, 5, groups=4)(y * hardsigmoid(y), *parameters[3:6])
    y = squeeze_excitation(y * hardsigmoid(y), *parameters[6:10], gate=hardsigmoid)
    return x + normed(4, 2, 1)(y, *parameters[10:])


def attention(x, qkv, qkv_bias, projection, projection_bias, **masks):
    parameters = {
        "in_proj_weight": qkv.T,
        "in_proj_bias": qkv_bias,
        "out_proj.weight": projection.T,
        "out_proj.bias": projection_bias,
    }
    module = nn.MultiheadAttention(4, 2, batch_first=True).train()
    return functional_call(module, parameters, (x, x, x), {"need_weights": False} | masks)[0]


# PyTorch marks what does not take part.
PADDED = {"key_padding_mask": torch.tensor([[False, False, True], [False, True, True]])}
CAUSAL = {"attn_mask": torch.ones(3, 3, dtype=torch.bool).triu(1)}


def transformer_block(x, *parameters):
    names = {
        "norm1.weight": same,
        "norm1.bias": same,
        "self_attn.in_proj_weight": linear,
        "self_attn.in_proj_bias": same,
        "self_attn.out_proj.weight": linear,
        "self_attn.out_proj.bias": same,
        "norm2.weight": same,
        "norm2.bias": same,
        "linear1.weight": linear,
        "linear1.bias": same,
        "linear2.weight": linear,
        "linear2.bias": same,
    }
    module = nn.TransformerEncoderLayer(
        4, 2, 6, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    return call(module, x, **{name: f(p) for (name, f), p in zip(names.items(), parameters, strict=True)})


def transposed(p):
    """[K.., Cout/groups, Cin] to [Cin, Cout/groups, K..]."""
    extents = range(p.dim() - 2)
    return p.permute(p.dim() - 1, p.dim() - 2, *extents)


SQUARE = [[4]] * 2
NORMED = [[1, 1, 2, 4], [4], [4], [3, 3, 1, 4], [4], [4], [1, 1, 4, 2], [2], [2]]
SQUEEZED = [[1, 1, 4, 2], [2], [1, 1, 2, 4], [4]]
NORMED_SQUEEZED = [*NORMED[:3], [5, 5, 1, 4], [4], [4], *SQUEEZED, *NORMED[6:]]
ATTENTION = [[4, 12], [12], [4, 4], [4]]
NORMED_STRIDED = [[3, 3, 1, 2], [2], [2], [1, 1, 2, 3], [3], [3]]

# The name; the function of the input and the parameters; the shape of the input; those of the parameters.
SAMPLES = [
    ("Linear", linear_layer, [2, 3], [[3, 4], [4]]),
    ("Linear: of sequences, without bias", linear_layer, [2, 3, 3], [[3, 2]]),
    ("Conv1d", image(nn.Conv1d(2, 3, 3, padding=1), **KERNEL), [2, 5, 2], [[3, 2, 3], [3]]),
    (
        "Conv1d: strided, dilated, grouped",
        image(nn.Conv1d(4, 2, 3, 2, 1, 2, 2, bias=False), weight=kernel),
        [1, 8, 4],
        [[3, 2, 2]],
    ),
    ("Conv2d", conv2d_relu, [1, 4, 3, 2], [[3, 3, 2, 3], [3]]),
    (
        "Conv2d: rectangular",
        image(nn.Conv2d(2, 4, (3, 5), (2, 1), (1, 2), groups=2), **KERNEL),
        [1, 6, 5, 2],
        [[3, 5, 1, 4], [4]],
    ),
    (
        "Conv2d: the same size with dilation",
        image(nn.Conv2d(1, 2, (3, 5), padding="same", dilation=2), **KERNEL),
        [1, 6, 9, 1],
        [[3, 5, 1, 2], [2]],
    ),
    ("Conv3d", image(nn.Conv3d(2, 2, 2, 2, 1), **KERNEL), [1, 3, 4, 2, 2], [[2, 2, 2, 2, 2], [2]]),
    (
        "Conv3d: rectangular, grouped",
        image(nn.Conv3d(2, 2, (1, 3, 1), padding="same", groups=2, bias=False), weight=kernel),
        [1, 2, 3, 2, 2],
        [[1, 3, 1, 1, 2]],
    ),
    (
        "DepthwiseConv2d",
        image(nn.Conv2d(2, 4, 3, 2, 1, groups=2), **KERNEL),
        [1, 5, 4, 2],
        [[3, 3, 1, 4], [4]],
    ),
    ("SeparableConv2d", separable, [1, 4, 3, 2], [[3, 3, 1, 2], [1, 1, 2, 3], [3]]),
    (
        "ConvTranspose1d",
        image(nn.ConvTranspose1d(2, 3, 3, 2, 1, 1), weight=transposed, bias=same),
        [2, 3, 2],
        [[3, 3, 2], [3]],
    ),
    (
        "ConvTranspose1d: dilated, grouped",
        image(nn.ConvTranspose1d(4, 2, 2, groups=2, dilation=2, bias=False), weight=transposed),
        [1, 3, 4],
        [[2, 1, 4]],
    ),
    (
        "ConvTranspose2d",
        image(nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), weight=transposed, bias=same),
        [1, 3, 2, 2],
        [[3, 3, 3, 2], [3]],
    ),
    (
        "ConvTranspose2d: dilated, grouped",
        image(nn.ConvTranspose2d(4, 2, 2, groups=2, dilation=(2, 1), bias=False), weight=transposed),
        [1, 3, 2, 4],
        [[2, 2, 1, 4]],
    ),
    (
        "ConvTranspose3d",
        image(nn.ConvTranspose3d(2, 3, 3, 2, 1, 1), weight=transposed, bias=same),
        [1, 2, 3, 2, 2],
        [[3, 3, 3, 3, 2], [3]],
    ),
    (
        "ConvTranspose3d: dilated, grouped",
        image(nn.ConvTranspose3d(4, 2, 2, groups=2, dilation=(2, 1, 1), bias=False), weight=transposed),
        [1, 2, 3, 2, 4],
        [[2, 2, 2, 1, 4]],
    ),
    ("BatchNorm1d", image(nn.BatchNorm1d(3), **AFFINE), [4, 3], [[3], [3]]),
    ("BatchNorm1d: of sequences", image(nn.BatchNorm1d(3, eps=1e-3), **AFFINE), [2, 4, 3], [[3], [3]]),
    ("BatchNorm2d", batch_norm2d_relu, [2, 3, 2, 2], [[2], [2]]),
    ("BatchNorm3d", image(nn.BatchNorm3d(2), **AFFINE), [2, 2, 2, 3, 2], [[2], [2]]),
    ("LayerNorm", lambda x, g, b: call(nn.LayerNorm(4), x, weight=g, bias=b), [2, 3, 4], SQUARE),
    ("GroupNorm", image(nn.GroupNorm(2, 4), **AFFINE), [2, 3, 2, 4], SQUARE),
    ("InstanceNorm", image(nn.InstanceNorm2d(3, affine=True), **AFFINE), [2, 3, 2, 3], [[3], [3]]),
    ("RmsNorm", rms_norm, [2, 3, 4], [[4]]),
    *[
        (name, module, [2, 3, 4], [])
        for name, module in {
            "Celu": nn.CELU(),
            "Celu: alpha 0.5": nn.CELU(0.5),
            "Softplus: beta 2": nn.Softplus(2.0, threshold=60),
            "Softsign": nn.Softsign(),
            "Softshrink": nn.Softshrink(),
            "Softshrink: by 0.3": nn.Softshrink(0.3),
            "Hardshrink": nn.Hardshrink(),
            "Hardshrink: to 0.3": nn.Hardshrink(0.3),
            "Tanhshrink": nn.Tanhshrink(),
            "Threshold": nn.Threshold(0.1, -2.0),
            "Glu": nn.GLU(),
        }.items()
    ],
    ("Pad2d: continued", image(nn.CircularPad2d((0, 2, 1, 0))), [1, 3, 2, 2], []),
    ("MaxPool2d: ceil mode", image(nn.MaxPool2d(3, 2, ceil_mode=True)), [1, 6, 5, 2], []),
    ("AvgPool2d: ceil mode", image(nn.AvgPool2d(3, 2, 1, ceil_mode=True)), [1, 4, 5, 2], []),
    ("Upsample: bicubic", image(nn.Upsample(scale_factor=2, mode="bicubic")), [1, 2, 3, 2], []),
    (
        "Upsample: bicubic, corners",
        image(nn.Upsample((3, 5), mode="bicubic", align_corners=True)),
        [1, 2, 3, 2],
        [],
    ),
    ("PixelUnshuffle", image(nn.PixelUnshuffle(2)), [1, 4, 6, 2], []),
    ("PRelu", image(nn.PReLU(4), weight=same), [2, 3, 4], [[4]]),
    ("PRelu: one slope", image(nn.PReLU(), weight=same), [2, 3, 4], [[1]]),
    ("Embedding", embedding, [2, 4], [[5, 3]]),
    ("Residual", residual_relu, [1, 3, 4, 2], [[3, 3, 2, 2], [2]]),
    (
        "Residual: with a projection",
        residual_projected,
        [1, 3, 4, 2],
        [[3, 3, 2, 3], [3], [1, 1, 2, 3], [3]],
    ),
    ("InvertedResidual", inverted_expanded, [2, 3, 4, 2], NORMED),
    (
        "InvertedResidual: strided, not expanded",
        inverted(conv_norm(2, 2, 3, 2, 2), conv_norm(2, 3, 1)),
        [2, 5, 4, 2],
        NORMED_STRIDED,
    ),
    ("InvertedResidual: squeezed", inverted_squeezed, [2, 3, 4, 2], NORMED_SQUEEZED),
    ("SqueezeExcitation", squeeze_excitation, [2, 3, 2, 4], SQUEEZED),
    ("MultiHeadSelfAttention", attention, [2, 3, 4], ATTENTION),
    ("MultiHeadSelfAttention: padded", partial(attention, **PADDED), [2, 3, 4], ATTENTION),
    ("MultiHeadSelfAttention: causal", partial(attention, **CAUSAL), [2, 3, 4], ATTENTION),
    (
        "TransformerBlock",
        transformer_block,
        [2, 3, 4],
        [[4], [4], [4, 12], [12], [4, 4], [4], [4], [4], [4, 6], [6], [6, 4], [4]],
    ),
    ("Sequential", lambda x, w, b: linear_layer(x, w, b).tanh(), [2, 3], [[3, 4], [4]]),
]


def results(name, function, x_shape, shapes):
    ids = name == "Embedding"
    x = places(x_shape)
    x = x * 3 % 5 if ids else (1.2 * (0.3 * x + 0.5).sin()).requires_grad_()
    parameters = [(0.7 * places(shape) + k).sin().requires_grad_() for k, shape in enumerate(shapes)]
    y = function(x, *parameters)
    c = (0.9 * places(y.shape) + 0.1).cos()
    wrt = parameters if ids else [x, *parameters]
    found = [y, *torch.autograd.grad((y * c).sum(), wrt)]
    return [{"shape": list(r.shape), "data": r.detach().reshape(-1).tolist()} for r in found]


def main():
    reference = {name: results(name, *rest) for name, *rest in SAMPLES}
    assert len(reference) == len(SAMPLES), "a name is used twice"
    lines = [f"{json.dumps(name)}: {json.dumps(of)}" for name, of in sorted(reference.items())]
    with open(sys.argv[1], "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
