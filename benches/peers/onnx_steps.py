"""One prediction workload in ONNX Runtime; prints the line of measuring.py.

`--export FILE` only writes the network there, from PyTorch, and ends: the time
to the first step is then that of a program that loads a finished network.
"""

import sys

import made_up
import measuring

if "--export" in sys.argv:
    import torch

    import torch_networks

    workload, file = sys.argv[sys.argv.index("--export") + 1 :][:2]
    images = torch.from_numpy(made_up.images(workload, 2)).permute(0, 3, 1, 2)
    model = torch_networks.network(workload).eval()
    # The size of the batch stays open.
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(model, (images,), file, dynamo=True, external_data=False, dynamic_shapes=shapes)
    print(sum(p.numel() for p in model.parameters()))
    sys.exit()

index = sys.argv.index("--network")
file, parameters = sys.argv[index + 1 : index + 3]
del sys.argv[index : index + 3]
given = measuring.options()

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = given.threads
options.inter_op_num_threads = 1
options.add_session_config_entry("session.set_denormal_as_zero", "1")
session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
images = np.ascontiguousarray(made_up.images(given.workload, given.batch).transpose(0, 3, 1, 2))
measuring.report(given, int(parameters), lambda: float(session.run(None, {name: images})[0].flat[0]))
