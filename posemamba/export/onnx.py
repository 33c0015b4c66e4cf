"""The network as one ONNX file, which onnxruntime runs without torch: on servers, in browsers, on phones.

The graph is written node by node after `PoseMamba.forward`, with the tokens first and the batch after them.
What `posemamba.scan` does for torch, an ONNX `Scan` does here: its body is Equation 4 for one token, with all
directions and channels at once in its state.
"""

import json
from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
from torch import Tensor, nn

from posemamba import __version__, orders, storage
from posemamba.model import Block, PoseMamba, SpatioTemporalSSM
from posemamba.skeleton import JOINT_NAMES, JOINTS

_WAYS = {path: way for way, path in orders.PATHS.items()}
_NORMALISED = {
    "image": "x / width * 2 - 1, y / width * 2 - height / width of pixels (posemamba.camera)",
    "person": "turned to the person and scaled to them (posemamba.crops)",
}


def write_onnx(model: PoseMamba, path: str | PathLike, opset: int = 18, half: bool = False) -> None:
    """Write a network as an ONNX file, from "keypoints" (batch, frames, joints, 2) to "joints" (..., 3).

    The file takes any batch and any number of frames up to the network's, computes in float32 and answers as
    the network does in evaluation, but in mm where `millimetres_per_unit` is known. Its metadata say what it
    is: units, frames, joint_names, view, normalisation, weights, posemamba.

    Args:
        model: of any strategy and size. For a permutation that is not one of `orders.PATHS` the file holds a
            table for each number of frames, together 4 frames^2 joints bytes.
        opset: the version of ONNX's operators.
        half: store the weights in float16, which halves the file and rounds them to three digits.

    Raises:
        ImportError: the package onnx is missing.
        TypeError: the model is no `PoseMamba`.
        ValueError: an opset that onnx does not know, or weights that are not finite in the file.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("an ONNX file needs the package onnx, which is missing: pip install onnx") from None
    if not isinstance(model, PoseMamba):
        raise TypeError(f"model is a {type(model).__name__}, expected a PoseMamba")
    newest = onnx.defs.onnx_opset_version()
    if not 17 <= opset <= newest:
        raise ValueError(f"opset is {opset}, expected 17 to {newest}, the newest of onnx {onnx.__version__}")
    made = _Network(model, half).finished(opset)
    onnx.checker.check_model(made, full_check=True)
    with storage.atomic_path(path) as temporary:
        onnx.save_model(made, temporary)


class _Graph:
    """Nodes in the order in which they are written, and constants; a call adds a node."""

    def __init__(self, prefix: str = ""):
        from onnx import helper, numpy_helper

        self.helper, self.stored, self.prefix = helper, numpy_helper.from_array, prefix
        self.nodes, self.constants, self.sizes = [], {}, {}

    def __call__(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> str | list[str]:
        """Add a node; the name or names of what comes out of it."""
        names = [f"{self.prefix}{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.helper.make_node(kind, inputs, names, **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, values) -> str:
        """Numbers as float32 or int64, kept once."""
        array = np.asarray(values)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        key = array.dtype.str, array.shape, array.tobytes()
        return self.constants.setdefault(key, self.stored(array, f"constant_{len(self.constants)}")).name

    def graph(self, name: str, inputs: dict[str, list | None], outputs: dict[str, list | None]):
        """All of it, from inputs to outputs of these shapes, in float32."""
        info = self.helper.make_tensor_value_info
        ends = [[info(one, 1, shape) for one, shape in named.items()] for named in (inputs, outputs)]
        return self.helper.make_graph(self.nodes, self.prefix + name, *ends, [*self.constants.values()])

    def reshape(self, x: str, *sizes: int | str) -> str:
        """To sizes that are numbers, or keys of `self.sizes`."""
        parts = [self.constant([size]) if isinstance(size, int) else self.sizes[size] for size in sizes]
        return self("Reshape", x, self("Concat", *parts, axis=0))

    def sum(self, x: str, axis: int) -> str:
        return self("ReduceSum", x, self.constant([axis]), keepdims=0)

    def one(self, x: str, axis: int) -> str:
        """With one more axis, of one."""
        return self("Unsqueeze", x, self.constant([axis]))

    def flip(self, x: str, axis: int) -> str:
        return self("Slice", x, *(self.constant([v]) for v in (-1, np.iinfo(np.int64).min, axis, -1)))

    def swish(self, x: str) -> str:
        return self("Mul", x, self("Sigmoid", x))

    def softplus(self, x: str) -> str:
        """max(x, 0) + log(1 + e), e = exp(-|x|): onnxruntime's own takes several times as long."""
        e, one = self("Exp", self("Neg", self("Abs", x))), self.constant(1.0)
        whole = self("Add", e, one)  # what it rounds away is added again: small steps keep their digits
        return self("Sum", self("Relu", x), self("Log", whole), self("Sub", e, self("Sub", whole, one)))


class _Network(_Graph):
    """The graph of a network: K directions, L tokens of T frames, b windows at once, D channels inside."""

    def __init__(self, model: PoseMamba, half: bool):
        super().__init__()
        self.config, self.half, found = model.config, half, model.spatial_blocks[0].ssm.directions
        self.names = {parameter: name for name, parameter in model.named_parameters()}
        # Directions with one mix stand together: what they choose is chosen at once.
        self.mixes, K = list(dict.fromkeys(one.mix for one in found)), len(found)
        self.order = sorted(range(K), key=lambda k: self.mixes.index(found[k].mix))
        self.group = [self.mixes.index(found[k].mix) for k in self.order]

        shape, joints = self("Shape", "keypoints"), self.constant([self.config.joints])
        batch, frames = (self("Gather", shape, self.constant([axis])) for axis in (0, 1))
        self.sizes = dict(b=batch, T=frames, L=self("Mul", frames, joints))
        places = self("Range", self.constant(0), self("Squeeze", self.sizes["L"]), self.constant(1))
        rows = [self.one(self.row(found[k].permutation, places), 0) for k in self.order]
        reads = self("Concat", *rows, axis=0)  # (K, L)
        back = self("ScatterElements", reads, reads, self("Expand", places, self("Shape", reads)), axis=1)
        # Where they are when the directions, or the mixes, follow each other.
        self.reads, self.back = self.after(reads, range(K)), self.after(back, range(K))
        self.mixed = self.after(reads, self.group)
        state = self.constant([K]), batch, self.constant([self.config.state, self.config.inner])
        self.start = self("ConstantOfShape", self("Concat", *state, axis=0))  # zeros (K, b, N, D)
        self.forward(model)

    def row(self, permutation: Callable, places: str) -> str:
        """The token at each place of a direction, (L)."""
        joints, frames = self.config.joints, self.config.frames
        if permutation not in _WAYS:  # the tables of 1, 2, ... frames, one after the other
            tables = [permutation(count, joints).numpy() for count in range(1, frames + 1)]
            before = self("Mul", self.sizes["L"], self("Sub", self.sizes["T"], self.constant([1])))
            start = self("Div", before, self.constant([2]))
            stop = self("Add", start, self.sizes["L"])
            return self("Slice", self.constant(np.concatenate(tables)), start, stop)
        axis, way = _WAYS[permutation]
        grid = self.reshape(places, "T", joints)
        if way == "backward":
            grid = self.flip(grid, 1 if axis == "spatial" else 0)
        row = self.reshape(self("Transpose", grid, perm=[0, 1] if axis == "spatial" else [1, 0]), -1)
        return self.flip(row, 0) if way == "reversed" else row

    def after(self, rows: str, tables: Sequence[int]) -> str:
        """Each row's tokens where so many times L others come before them."""
        return self("Add", rows, self("Mul", self.constant(np.c_[tables]), self.sizes["L"]))

    def weight(self, parameter: Tensor, change: Callable = np.asarray, part: str = "") -> str:
        """A parameter, or what a change of its form makes of it, in float32."""
        name = self.names[parameter] + part
        array = np.ascontiguousarray(change(parameter.detach().float().cpu().numpy()))
        with np.errstate(over="ignore"):
            array = array.astype(np.float16) if self.half else array
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a number that is not finite in {array.dtype}")
        self.constants[name] = self.stored(array, name)
        return self("Cast", name, to=1) if self.half else name  # 1 is ONNX's float32

    def linear(self, layer: nn.Linear, x: str) -> str:
        x = self("MatMul", x, self.weight(layer.weight, np.transpose))
        return x if layer.bias is None else self("Add", x, self.weight(layer.bias))

    def norm(self, layer: nn.LayerNorm, x: str) -> str:
        scale, shift = self.weight(layer.weight), self.weight(layer.bias)
        return self("LayerNormalization", x, scale, shift, epsilon=layer.eps)

    def forward(self, model: PoseMamba) -> None:
        config, x, order = self.config, "keypoints", self.config.joint_order
        if order:
            x = self("Gather", x, self.constant(order), axis=2)
        x = self.linear(model.embed, self("Transpose", x, perm=[1, 2, 0, 3]))  # (T, J, b, C)
        x = self("Add", x, self.weight(model.joint_position, lambda w: w[:, None]))
        frames = self.weight(model.frame_position, lambda w: w[:, None, None])
        frames = self("Slice", frames, self.constant([0]), self.sizes["T"])
        for spatial, temporal in zip(model.spatial_blocks, model.temporal_blocks, strict=True):
            x = self.norm(model.spatial_norm, self.block(spatial, x))
            if frames:  # onnxruntime names this node where it is given more frames
                x, frames = self("Add", x, frames, name=f"at_most_{config.frames}_frames"), ""
            x = self.norm(model.temporal_norm, self.block(temporal, x))
        x = self.linear(model.head[1], self.norm(model.head[0], x))
        if config.millimetres_per_unit is not None:
            x = self("Mul", x, self.constant(float(config.millimetres_per_unit)))
        if order:
            x = self("Gather", x, self.constant(np.argsort(order)), axis=1)
        self("Transpose", x, perm=[2, 0, 1, 3])
        self.nodes[-1].output[0] = "joints"

    def block(self, block: Block, x: str) -> str:
        x = self("Add", x, self.ssm(block.ssm, self.norm(block.norm, x)))
        hidden = self.linear(block.mlp[0], self.norm(block.mlp_norm, x))
        erf = self("Erf", self("Mul", hidden, self.constant(0.5**0.5)))
        gelu = self("Mul", self("Mul", hidden, self.constant(0.5)), self("Add", erf, self.constant(1.0)))
        return self("Add", x, self.linear(block.mlp[2], gelu))

    def ssm(self, ssm: SpatioTemporalSSM, tokens: str) -> str:
        config, K = self.config, len(self.order)
        R, N, D = config.rank, config.state, config.inner
        x, z = self("Split", self.linear(ssm.in_proj, tokens), self.constant([D, D]), axis=-1, outputs=2)
        image = self("Transpose", x, perm=[2, 3, 0, 1])  # (b, D, T, J)
        conv = self.weight(ssm.conv.weight), self.weight(ssm.conv.bias)
        x = self("Conv", image, *conv, group=D, pads=[1] * 4)
        x = self.swish(self("Transpose", x, perm=[2, 3, 0, 1]))  # (T, J, b, D)
        read, chosen, direct = [], [], []
        for i, mix in enumerate(self.mixes):
            mine = [k for k, group in zip(self.order, self.group, strict=True) if group == i]
            u = x if mix is None else self("Add", x, self("Gather", x, self.constant(mix), axis=1))
            select = self.weight(ssm.select, lambda w, mine=mine: w[mine].reshape(-1, D).T, f"/{i}")
            skip = self.sum(self.weight(ssm.skip, lambda w, mine=mine: w[mine], f"/{i}"), 0)
            read, direct = [*read, u], [*direct, self("Mul", u, skip)]
            chosen.append(self("MatMul", u, select))
        chosen = self.reshape(self("Concat", *chosen, axis=-1), "L", "b", K, R + 2 * N)
        chosen = self.reshape(self("Transpose", chosen, perm=[2, 0, 1, 3]), -1, "b", R + 2 * N)
        chosen = self("Gather", chosen, self.reads)  # (K, L, b, R + 2 N), in the order of the scan
        low_rank, B, C = self("Split", chosen, self.constant([R, N, N]), axis=-1, outputs=3)
        steps = self.weight(ssm.step, lambda w: w[self.order].transpose(0, 2, 1))
        steps = self("MatMul", self.reshape(low_rank, K, -1, R), steps)
        steps = self("Add", steps, self.weight(ssm.step_bias, lambda w: w[self.order][:, None]))
        steps = self.reshape(self.softplus(steps), K, "L", "b", 1, D)
        u = self("Gather", self.reshape(self("Concat", *read, axis=0), -1, "b", D), self.mixed)
        writes = self("Mul", steps, self.one(u, 3))
        rates = self.weight(ssm.A_log, lambda w: w[self.order].transpose(0, 2, 1)[:, None])  # (K, 1, N, D)
        y = self.scan(self("Neg", self("Exp", rates)), steps, writes, self.one(B, 4), self.one(C, 3))
        y = self.sum(self("Gather", self.reshape(y, -1, "b", D), self.back), 0)  # (L, b, D)
        y = self("Sum", self.reshape(y, "T", config.joints, "b", D), *direct)
        return self.linear(ssm.out_proj, self("Mul", self.norm(ssm.norm, y), self.swish(z)))

    def scan(self, A: str, *along: str) -> str:
        """What the states say, (K, L, b, 1, D), given steps, writes, B and C along the second axis."""
        body = _Graph(f"scan_{len(self.nodes)}_")
        h, step, write, B, C = given = [body.prefix + name for name in ("h", "step", "write", "B", "C")]
        after = body("Add", body("Mul", body("Exp", body("Mul", step, A)), h), body("Mul", B, write))
        y = body("MatMul", C, after)
        body = body.graph("body", dict.fromkeys(given), dict.fromkeys((after, y)))
        axes = dict(num_scan_inputs=4, scan_input_axes=[1] * 4, scan_output_axes=[1])
        return self("Scan", self.start, *along, outputs=2, body=body, **axes)[1]

    def finished(self, opset: int):
        """The model of the whole file."""
        config, versions = self.config, [self.helper.make_opsetid("", opset)]
        shape = ["batch", "frames" if config.frames > 1 else 1, config.joints]
        graph = self.graph("posemamba", {"keypoints": [*shape, 2]}, {"joints": [*shape, 3]})
        oldest = self.helper.find_min_ir_version_for(versions)
        made = self.helper.make_model(graph, opset_imports=versions, ir_version=oldest)
        view, known = getattr(config, "view", "image"), config.millimetres_per_unit is not None
        about = dict(posemamba=__version__, frames=config.frames, scan=config.scan, view=view)
        about |= dict(normalisation=_NORMALISED[view], units="mm" if known else "the network's own")
        about |= dict(axes="x right, y down, z forward", weights="float16" if self.half else "float32")
        about |= dict(joint_names=JOINT_NAMES) if config.joints == JOINTS else {}
        words = {name: v if isinstance(v, str) else json.dumps(v) for name, v in about.items()}
        self.helper.set_model_props(made, words)
        return made
