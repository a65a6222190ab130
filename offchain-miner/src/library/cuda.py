"""Writes a graph as ONNX Runtime's own optimizer rewrites it for CUDA, in fp16.

    cuda.py FROM TO unet|vae

What it rewrites to runs on CUDA alone. So before the weights become fp16, those operators are taken apart
into plain ones, and both graphs are run on the CPU: one that computes something else is not written.
Prints one JSON object: how many nodes there are of each new operator, and the largest difference by the
largest number. Run by `offchain-miner models optimize --cuda`.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

PACKAGES = "onnx==1.23.2 onnxruntime==1.31.1 numpy==2.2.6 sympy"
DOMAIN = "com.microsoft"
# Protobuf has no messages of 2 GB.
EMBEDDED = 1 << 30
# Of the largest number: fp32 sums in another order.
TOLERANCE = 1e-3

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model
except ImportError as error:
    sys.exit(f"{sys.executable} has no {error.name}: {sys.executable} -m pip install {PACKAGES}")


def fuse(source, kind, norms=True):
    options = FusionOptions(kind)
    # Flash attention takes the three apart from one another, and so does the CPU.
    options.enable_packed_qkv = options.enable_packed_kv = False
    options.enable_group_norm = options.enable_skip_group_norm = norms
    try:
        fused = optimize_model(str(source), model_type=kind, opt_level=0, optimization_options=options)
    except TypeError as error:
        versions = f"numpy {np.__version__}, onnxruntime {onnxruntime.__version__}"
        sys.exit(f"ONNX Runtime's optimizer fails with {versions} ({error}): use {PACKAGES}")
    if norms and not all(runs_on_cuda(node, fused.model.graph) for node in fused.model.graph.node):
        return fuse(source, kind, norms=False)
    return fused


def runs_on_cuda(node, graph):
    """Whether CUDA has a kernel for what the operator is of: its group norms are of an even number of
    channels a group, and of 512 at most."""
    if node.op_type not in ("GroupNorm", "SkipGroupNorm"):
        return True
    gamma = next(tensor for tensor in graph.initializer if tensor.name == node.input[1])
    groups = next(a.i for a in node.attribute if a.name == "groups")
    channels, left = divmod(gamma.dims[0], groups)
    return left == 0 and channels % 2 == 0 and channels <= 512


class Apart:
    """The operators of a graph that only CUDA has, as plain ones."""

    def __init__(self, model):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.nodes = []
        self.count = 0
        for node in list(self.graph.node):
            take = getattr(self, node.op_type, None) if node.domain == DOMAIN else None
            if take is None:
                self.nodes.append(node)
                continue
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [*node.input, *[""] * (5 - len(node.input))]
            for name, value in zip(node.output, take(inputs, attributes, len(node.output))):
                self.add("Identity", [value], name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def add(self, operator, inputs, output=None, **attributes):
        self.count += 1
        output = output or f"apart_{self.count}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def list(self, *numbers):
        return self.constant(np.array(numbers, np.int64))

    def constant(self, array):
        return self.add("Constant", [], value=numpy_helper.from_array(array))

    def planes(self, value):
        return self.add("Transpose", [value], perm=[0, 3, 1, 2])

    def pixels(self, value):
        return self.add("Transpose", [value], perm=[0, 2, 3, 1])

    def column(self, value):
        return self.add("Reshape", [value, self.list(-1, 1, 1)])

    def NhwcConv(self, inputs, attributes, _):
        value, weights, bias = inputs[:3]
        weights = self.add("Transpose", [weights], perm=[0, 3, 1, 2])
        inputs = [self.planes(value), weights] + ([bias] if bias else [])
        return [self.pixels(self.add("Conv", inputs, **attributes))]

    def norm(self, value, gamma, beta, attributes):
        """Group norm of pixels, with SiLU where it has that."""
        assert attributes.get("channels_last", 1) == 1
        groups = attributes["groups"]
        planes = self.planes(value)
        grouped = self.add("Reshape", [planes, self.list(0, groups, -1)])
        ones, zeros = (self.constant(np.full(groups, n, np.float32)) for n in (1, 0))
        normal = self.add(
            "InstanceNormalization", [grouped, ones, zeros], epsilon=attributes.get("epsilon", 1e-5)
        )
        normal = self.add("Reshape", [normal, self.add("Shape", [planes])])
        scaled = self.add("Mul", [normal, self.column(gamma)])
        shifted = self.add("Add", [scaled, self.column(beta)])
        if attributes.get("activation"):
            shifted = self.add("Mul", [shifted, self.add("Sigmoid", [shifted])])
        return self.pixels(shifted)

    def GroupNorm(self, inputs, attributes, _):
        return [self.norm(*inputs[:3], attributes)]

    def SkipGroupNorm(self, inputs, attributes, outputs):
        value, gamma, beta, skip, bias = inputs
        # A number for each channel of each sample, or one for each pixel as well.
        rank = self.rank(skip)
        if rank == 2:
            skip = self.add("Unsqueeze", [skip, self.list(1, 2)])
        summed = self.add("Add", [value, skip])
        if bias:
            summed = self.add("Add", [summed, bias])
        return [self.norm(summed, gamma, beta, attributes), summed][:outputs]

    def rank(self, value):
        """Of what is added to pixels: what a linear layer made has two dimensions."""
        for node in self.graph.node:
            if value in node.output:
                return 2 if node.op_type in ("Gemm", "MatMul") else 4
        raise ValueError(f"nothing makes {value}")

    def BiasSplitGelu(self, inputs, attributes, _):
        value = self.add("Add", inputs[:2])
        half = self.count
        left, right = f"left_{half}", f"right_{half}"
        self.nodes.append(helper.make_node("Split", [value], [left, right], axis=-1, num_outputs=2))
        scaled = self.add("Mul", [right, self.constant(np.float32(0.5**0.5))])
        more = self.add("Add", [self.add("Erf", [scaled]), self.constant(np.float32(1))])
        gelu = self.add("Mul", [self.add("Mul", [right, self.constant(np.float32(0.5))]), more])
        return [self.add("Mul", [left, gelu])]

    def BiasAdd(self, inputs, attributes, _):
        value, bias, skip = inputs[:3]
        return [self.add("Add", [self.add("Add", [value, bias]), skip])]


def run(path, given):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, given)[0].astype(np.float64)


def feed(graph):
    """Random numbers for each input, of small sizes."""
    random = np.random.default_rng(0)
    free = {4: (2, 4, 16, 16), 3: (2, 13, 1), 2: (2, 6), 1: (1,), 0: ()}
    given = {}
    for port in graph.input:
        kind = port.type.tensor_type
        sizes = [size.dim_value for size in kind.shape.dim]
        shape = [fixed or size for fixed, size in zip(sizes, free[len(sizes)])]
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        array = random.standard_normal(shape) if len(shape) > 1 else np.full(shape, 500)
        given[port.name] = array.astype(dtype)
    return given


def check(source, fused):
    """The largest difference of what both compute, by the largest number."""
    given = feed(fused.graph)
    expected = run(source, given)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(Apart(fused).model, path)
        found = run(path, given)
    worst = np.abs(found - expected).max() / np.abs(expected).max()
    if not worst < TOLERANCE:
        sys.exit(f"the rewritten graph computes something else: off by {worst:.2g} of the largest number")
    return float(worst)


def save(model, path):
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    external = {}
    if weights > EMBEDDED:
        external = {"save_as_external_data": True, "location": path.name + "_data", "size_threshold": 1024}
    onnx.save(model, path, **external)


def main():
    source, target, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    optimizer = fuse(source, kind)
    operators = Counter(node.op_type for node in optimizer.model.graph.node if node.domain == DOMAIN)
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in optimizer.model.graph.initializer):
        # Its CPU would compute in fp32; and of norms the optimizer finds only those in fp32.
        sys.exit("the graph is in fp16 already: start from the model in fp32")
    worst = check(source, optimizer.model)
    optimizer.convert_float_to_float16(keep_io_types=False)
    save(optimizer.model, target)
    print(json.dumps({"operators": operators, "difference": worst}))


if __name__ == "__main__":
    main()
