"""Writes a graph as ONNX Runtime's own optimizer rewrites it for CUDA, in fp16.

    cuda.py FROM TO unet|vae

What it rewrites to runs on CUDA alone. So before the weights become fp16, those operators are taken apart
into plain ones, and both graphs are run on the CPU: one that computes something else is not written.
Prints one JSON object: how many nodes there are of each new operator, and the largest difference by the
largest number. Run by `offchain-miner models optimize --cuda`.

With ANY_SIZE=1 in the environment it also writes nodes of sizes that CUDA has no kernels for: the tests have
small models only.
"""

import json
import os
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


def fuse(source, kind, leave=frozenset()):
    options = FusionOptions(kind)
    # Flash attention takes the three apart from one another, and so does the CPU.
    options.enable_packed_qkv = options.enable_packed_kv = False
    for operator, switch in SWITCHES.items():
        setattr(options, switch, operator not in leave)
    try:
        fused = optimize_model(str(source), model_type=kind, opt_level=0, optimization_options=options)
    except TypeError as error:
        versions = f"numpy {np.__version__}, onnxruntime {onnxruntime.__version__}"
        sys.exit(f"ONNX Runtime's optimizer fails with {versions} ({error}): use {PACKAGES}")
    graph = fused.model.graph
    without_kernel = {node.op_type for node in graph.node if not runs_on_cuda(node, graph)}
    return fuse(source, kind, leave | without_kernel) if without_kernel - leave else fused


# What the optimizer can be told to leave as it is.
SWITCHES = {
    "GroupNorm": "enable_group_norm",
    "SkipGroupNorm": "enable_skip_group_norm",
    "BiasSplitGelu": "enable_bias_splitgelu",
}


def runs_on_cuda(node, graph):
    """Whether CUDA has a kernel for the sizes of this node: ONNX Runtime's group norms are of an even number
    of channels a group, and of 512 at most; its split GELU has the sizes of Stable Diffusion 1, 2, XL and 3."""

    def size(place):
        return next(tensor.dims[0] for tensor in graph.initializer if tensor.name == node.input[place])

    if os.environ.get("ANY_SIZE") == "1":
        return True
    if node.op_type in ("GroupNorm", "SkipGroupNorm"):
        groups = next(a.i for a in node.attribute if a.name == "groups")
        channels, left = divmod(size(1), groups)
        return left == 0 and channels % 2 == 0 and channels <= 512
    if node.op_type == "BiasSplitGelu":
        return size(1) in (2560, 5120, 6144, 10240, 12288)
    return True


def exact(graph):
    """The names of the nodes that make angles of the timestep. In fp16 one of 999 radians is off by 0.25, and
    the embedding with it. Those without a name are given one."""
    makers = {output: node for node in graph.node for output in node.output}
    names, todo = [], [node for node in graph.node if node.op_type in ("Sin", "Cos")]
    while todo:
        node = todo.pop()
        if node.op_type == "Shape" or node.name in names:
            continue
        node.name = node.name or f"exact_{node.output[0]}"
        names.append(node.name)
        todo += [makers[value] for value in node.input if value in makers]
    return names


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
    # Of what goes in, a timestep of 999 or between two whole ones has no place in fp16 either.
    optimizer.convert_float_to_float16(
        keep_io_types=["timestep"], node_block_list=exact(optimizer.model.graph)
    )
    save(optimizer.model, target)
    print(json.dumps({"operators": operators, "difference": worst}))


if __name__ == "__main__":
    main()
