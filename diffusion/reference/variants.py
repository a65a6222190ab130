#!/usr/bin/env python3
"""Makes cheaper variants of a model, to be told from it step by step (examples/margins.rs).

    variants.py MODEL_FOLDER OUTPUT_FOLDER

fp16/  the UNet computed in fp16
int8/  the UNet's products and convolutions computed in int8, as ONNX Runtime quantizes a model that
       it is given (dynamic: what flows through the graph is rounded as well)

The default model's weights are stored in 8 bits already, with nodes that make fp32 of them.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16


def plain(model):
    """Weights that are stored small and made fp32 by nodes become plain fp32 weights."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    arrays = {}
    value = lambda name: arrays[name] if name in arrays else numpy_helper.to_array(tensors[name])
    for node in list(model.graph.node):
        known = all(name in tensors or name in arrays for name in node.input)
        if node.op_type == "Cast" and known:
            arrays[node.output[0]] = value(node.input[0]).astype(np.float32)
        elif node.op_type == "Mul" and known and node.input[0] in arrays:
            arrays[node.output[0]] = value(node.input[0]) * value(node.input[1])
        else:
            continue
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    for name, tensor in tensors.items():
        if name not in used:
            model.graph.initializer.remove(tensor)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used
    )


def main():
    source, target = map(Path, sys.argv[1:])
    paths = {}
    for name in ("fp16", "int8"):
        shutil.copytree(source, target / name, dirs_exist_ok=True)
        paths[name] = target / name / "unet" / "model.onnx"
    model = onnx.load(source / "unet" / "model.onnx")
    plain(model)
    onnx.save(model, paths["int8"])
    quantize_dynamic(paths["int8"], paths["int8"], per_channel=True, weight_type=QuantType.QInt8)
    onnx.save(convert_float_to_float16(model, keep_io_types=True), paths["fp16"])


if __name__ == "__main__":
    main()
