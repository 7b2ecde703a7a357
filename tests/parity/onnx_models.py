"""Runs exported networks in ONNX Runtime and compares the outputs with those that Cerberus computed.

    python tests/parity/onnx_models.py FOLDER..

Each folder holds files NAME.onnx and, beside each, NAME.safetensors with the inputs and outputs of a batch, under the
names that they have in the ONNX file. The batch is run as a whole and image by image. Every output must agree within
1e-4, relative to its largest value if that is above 1. Ends with 1 if any does not.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def difference(found, expected):
    """The largest difference, relative to the largest expected value if that is above 1."""
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    return float(numpy.abs(found - expected).max() / max(1.0, numpy.abs(expected).max()))


def check(path):
    """The largest difference of a file's outputs, and a line about it; a text instead of a number if it is wrong."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    values = load_file(path.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {value.name: values[value.name] for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    if set(names) | set(inputs) != set(values):
        return f"the file has {sorted([*names, *inputs])}, the values are {sorted(values)}", operators
    batch = len(next(iter(inputs.values())))
    parts = [slice(0, batch)] + [slice(place, place + 1) for place in range(batch)]
    worst = 0.0
    for part in parts:
        outputs = session.run(names, {name: value[part] for name, value in inputs.items()})
        for name, output in zip(names, outputs):
            found = difference(output, values[name][part])
            if isinstance(found, str) or not found <= TOLERANCE:
                return f"{name}, images {part.start}..{part.stop}: {found}", operators
            worst = max(worst, found)
    return worst, operators


def main(folders):
    paths = [path for folder in folders for path in sorted(Path(folder).glob("*.onnx"))]
    failed = 0
    for path in paths:
        found, operators = check(path)
        failed += isinstance(found, str)
        text = f"DIFFERS: {found}" if isinstance(found, str) else f"agrees within {found:.1e}"
        print(f"{path}: {text}; {sum(operators.values())} operators, {operators['Transpose']} Transpose")
    print(f"{len(paths) - failed} of {len(paths)} files agree")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
