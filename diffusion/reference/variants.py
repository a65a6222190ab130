#!/usr/bin/env python3
"""Makes cheaper variants of a model, to be told from it step by step (examples/margins.rs).

    variants.py MODEL_FOLDER OUTPUT_FOLDER

int8/  the UNet's weights rounded to 8 bits with a scale for each output channel
fp16/  the UNet computed in fp16 (the default model's weights are fp16 already)
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

LEAST = 64  # smaller tensors stay as they are


def rounded(array):
    wide = array.astype(np.float32)
    axes = tuple(range(1, array.ndim))
    scale = np.maximum(np.abs(wide).max(axis=axes, keepdims=True) / 127, 1e-8)
    return (np.round(wide / scale) * scale).astype(array.dtype)


def main():
    source, target = map(Path, sys.argv[1:])
    for name in ("int8", "fp16"):
        shutil.copytree(source, target / name, dirs_exist_ok=True)
    path = target / "int8" / "unet" / "model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim >= 2 and array.size >= LEAST and array.dtype in (np.float16, np.float32):
            tensor.CopyFrom(numpy_helper.from_array(rounded(array), tensor.name))
    onnx.save(model, path)
    path = target / "fp16" / "unet" / "model.onnx"
    model = onnx.load(path)
    # The default model's weights are fp16 with casts to fp32: first plain fp32.
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in tensors]:
        array = numpy_helper.to_array(tensors[node.input[0]]).astype(np.float32)
        tensors[node.input[0]].CopyFrom(numpy_helper.from_array(array, node.output[0]))
        model.graph.node.remove(node)
    onnx.save(convert_float_to_float16(model, keep_io_types=True), path)


if __name__ == "__main__":
    main()
