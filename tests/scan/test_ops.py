"""The operators of torch: what compile, export, autocast and the FLOP counter need of them, on the CPU."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from posemamba import orders
from posemamba.scan import directional_scan, selective_scan
from posemamba.scan.ops import scan_flops


def arguments(batch=2, groups=2, inner=5, tokens=11, state=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    channels = groups * inner
    many, matrix = (batch, channels, tokens), (batch, groups, state, tokens)
    values = dict(u=draw(*many), delta=draw(*many), A=-draw(channels, state).abs(), B=draw(*matrix))
    values |= dict(C=draw(*matrix), D=draw(channels), z=draw(*many), delta_bias=draw(channels))
    values["initial_state"] = draw(batch, channels, state)
    return {name: value.requires_grad_() for name, value in values.items()}


def relative(found, expected) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-300))


def gradients(function, values, cotangent=None):
    y = function(**values)
    cotangent = (
        torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape) if cotangent is None else cotangent
    )
    return y, torch.autograd.grad(y, list(values.values()), cotangent)


def operands(
    grad=True, tables=False, scaled=False, sources=2, turned=False, low_rank=False, dtype=torch.float32
):
    """Arguments of torch.ops.posemamba.scan itself."""
    b, K, inner, N, frames, joints = 2, 2, 5, 3, 3, 17
    L = frames * joints
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    x, delta = draw(b, sources, L, inner), draw(b, K, L, inner)
    if turned:
        x, delta = x.mT.contiguous().mT, delta.mT.contiguous().mT
    tensors = [x, delta, -draw(K, inner, N).abs(), draw(b, K, L, N), draw(b, K, L, N)]
    tensors += [draw(K, inner), draw(K, inner), draw(b, K, inner, N)]
    tensors += [draw(K, inner, N), draw(K, inner, N)] if scaled else [None, None]
    tensors += [draw(K, inner, 2)] if low_rank else [None]
    if low_rank:
        tensors[1] = draw(b, K, L, 2)
    tensors = [t if t is None else t.requires_grad_(grad) for t in tensors]
    reads, mixes = orders.tables("global-local", frames, joints) if tables else (None, None)
    return (
        *tensors,
        *(t if t is None else t[:K].contiguous() for t in (reads, mixes)),
        True,
        True,
        True,
        "numba",
    )


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(
    "options", [{}, dict(tables=True, sources=1), dict(scaled=True), dict(turned=True), dict(low_rank=True)]
)
def test_the_operator_passes_opcheck(options, grad):
    torch.library.opcheck(torch.ops.posemamba.scan.default, operands(grad, **options))


def test_the_gradient_is_the_numerical_one():
    values = arguments(1, 2, 2, 5, 2)
    assert torch.autograd.gradcheck(
        lambda *v: selective_scan(**dict(zip(values, v, strict=True)), delta_softplus=True, backend="numba"),
        tuple(values.values()),
    )


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_as_one_graph(dynamic):
    values = arguments(dtype=torch.float32)

    def run(**v):
        return selective_scan(**v, delta_softplus=True) * 2

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    y, expected = gradients(run, values)
    found, got = gradients(compiled, values)
    assert torch.equal(found, y)
    for name, a, b in zip(values, got, expected, strict=True):
        assert relative(a, b) < 1e-6, name
    longer = arguments(tokens=17, dtype=torch.float32)
    assert torch.equal(compiled(**longer), run(**longer))


@pytest.mark.parametrize("tokens,inner,rank", [(51, 5, 1), (1, 33, 4), (102, 16, 7)])
def test_a_step_of_low_rank_is_the_product(tokens, inner, rank):
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    b, K, N = 2, 3, 4
    x, low, W, bias = draw(b, tokens, inner), draw(b, K, tokens, rank), draw(K, inner, rank), draw(K, inner)
    A, B, C, D = (
        -draw(K, inner, N).detach().abs(),
        draw(b, K, tokens, N),
        draw(b, K, tokens, N),
        draw(K, inner),
    )
    reads = torch.stack([torch.randperm(tokens, generator=generator) for _ in range(K)]).int()
    A.requires_grad_()
    rest = (A, B, C, D, reads, torch.full_like(reads, -1))
    options = dict(delta_bias=bias, delta_softplus=True)
    leaves = [x, low, W, bias, A, B, C, D]
    whole = directional_scan(x, low @ W.mT, *rest, **options)
    y = directional_scan(x, low, *rest, delta_projection=W, **options)
    assert relative(y, whole) < 1e-12
    cotangent = torch.randn_like(y)
    for found, expected in zip(
        torch.autograd.grad(y, leaves, cotangent), torch.autograd.grad(whole, leaves, cotangent), strict=True
    ):
        assert relative(found, expected) < 1e-11


def test_the_directional_scan_compiles_as_one_graph():
    x, delta, A, B, C, D, *_ = operands(tables=True, sources=1)
    reads, mixes = (table[:2].contiguous() for table in orders.tables("global-local", 3, 17))

    def run(x, delta):
        return directional_scan(x[:, 0], delta, A, B, C, D, reads, mixes, delta_softplus=True)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, delta), run(x, delta))
    for a, b in zip(
        torch.autograd.grad(compiled(x, delta).sum(), [x, delta]),
        torch.autograd.grad(run(x, delta).sum(), [x, delta]),
        strict=True,
    ):
        assert relative(a, b) < 1e-6


def test_a_network_compiles_and_exports():
    from posemamba import PoseMamba

    model = PoseMamba.from_variant("S", frames=9, depth=2, channels=16).eval()
    keypoints = torch.randn(1, 9, 17, 2)
    with torch.no_grad():
        expected = model(keypoints)
        assert relative(torch.compile(model, fullgraph=True, backend="aot_eager")(keypoints), expected) < 1e-6
        exported = torch.export.export(model, (keypoints,))
        assert relative(exported.module()(keypoints), expected) < 1e-6
    graphs = [m.graph for m in exported.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    assert any("posemamba.scan" in str(node.target) for graph in graphs for node in graph.nodes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_state_in_float32(dtype):
    half = {name: v.detach().to(dtype).requires_grad_() for name, v in arguments(tokens=60).items()}
    half["A"] = half["A"].detach().float().requires_grad_()
    wide = {name: v.detach().double().requires_grad_() for name, v in half.items()}
    y, found = gradients(lambda **v: selective_scan(**v, delta_softplus=True), half)
    exact, expected = gradients(
        lambda **v: selective_scan(**v, delta_softplus=True, backend="reference"), wide
    )
    rounding = torch.finfo(dtype).eps
    assert y.dtype == dtype and relative(y, exact) < rounding
    for name, a, b in zip(half, found, expected, strict=True):
        assert a.dtype == half[name].dtype, name
        assert relative(a, b) < 2 * rounding, name


@pytest.mark.parametrize("backend", ["numba", "associative", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_gate_sees_outputs_that_are_not_rounded_yet(dtype, backend):
    """With a gate in 16 bits the output is rounded once, and the gradients of float32 hardly at all."""
    values = {name: value.detach() for name, value in arguments(tokens=60).items()}
    values = {n: v.to(dtype if n in ("u", "delta", "z") else torch.float32) for n, v in values.items()}
    exact = {name: value.double().requires_grad_() for name, value in values.items()}
    values = {name: value.requires_grad_() for name, value in values.items()}
    cotangent = torch.randn(values["u"].shape, generator=torch.Generator().manual_seed(3)).to(dtype)

    def run(backend):
        return lambda **v: selective_scan(**v, delta_softplus=True, backend=backend)

    y, found = gradients(run(backend), values, cotangent)
    right, expected = gradients(run("reference"), exact, cotangent.double())
    assert y.dtype == dtype
    assert (y == right.to(dtype)).double().mean() > 0.99
    for name, a, b in zip(values, found, expected, strict=True):
        assert a.dtype == values[name].dtype
        assert relative(a, b) < (3e-6 if a.dtype == torch.float32 else torch.finfo(dtype).eps / 2), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_scan_alone(dtype):
    values = arguments(dtype=torch.float32)
    weight = torch.randn(10, 10)
    with torch.autocast("cpu", dtype=dtype):
        mixed = values | dict(u=(values["u"].mT @ weight).mT)
        assert mixed["u"].dtype == dtype
        y, last = selective_scan(**mixed, delta_softplus=True, return_last_state=True)
    assert y.dtype == dtype and last.dtype == torch.float32
    expected = selective_scan(**mixed | dict(u=mixed["u"].float()), delta_softplus=True)
    assert relative(y, expected) < torch.finfo(dtype).eps
    y.float().sum().backward()
    assert all(value.grad is not None and value.grad.dtype == torch.float32 for value in values.values())


STRIDES = {
    "permuted": lambda v: v.transpose(0, -1).contiguous().transpose(0, -1),
    "channels inside": lambda v: v.transpose(1, -1).contiguous().transpose(1, -1),
    "every second token": lambda v: v.repeat_interleave(2, -1)[..., ::2],
    "every second channel": lambda v: v.repeat_interleave(2, 1)[:, ::2],
    "a part of more": lambda v: torch.nn.functional.pad(v, (3, 5))[..., 3:-5],
    "expanded batch": lambda v: v[:1].expand(v.shape),
    "expanded tokens": lambda v: v[..., :1].expand(v.shape),
    "expanded channels": lambda v: v[:, :1].expand(v.shape),
}


@pytest.mark.parametrize("name", STRIDES)
@pytest.mark.parametrize("tokens", [1, 37, 64])
def test_any_strides_give_the_same(name, tokens):
    plain = {k: v.detach() for k, v in arguments(2, 2, 20, tokens, 4, torch.float32).items()}
    strided = {k: STRIDES[name](v) if v.ndim > 2 and k != "initial_state" else v for k, v in plain.items()}
    compact = {k: v.clone(memory_format=torch.contiguous_format) for k, v in strided.items()}
    strided, compact = ({k: v.requires_grad_() for k, v in d.items()} for d in (strided, compact))
    y, found = gradients(lambda **v: selective_scan(**v, delta_softplus=True), strided)
    same, expected = gradients(lambda **v: selective_scan(**v, delta_softplus=True), compact)
    assert relative(y, same) < 1e-6
    for key, a, b in zip(plain, found, expected, strict=True):
        assert relative(a, b) < 1e-5, key


@pytest.mark.parametrize("backend", ["associative", "numba"])
@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
def test_an_initial_state_is_where_the_last_one_left_off(backend, constant):
    values = arguments(tokens=50)
    values |= {name: values["A"].detach().clone().requires_grad_() for name in constant}

    def run(part, **v):
        cut = {k: t[..., part] if t.ndim > 2 and k != "initial_state" else t for k, t in v.items()}
        return selective_scan(**cut, delta_softplus=True, return_last_state=True, backend=backend)

    whole, last = run(slice(None), **values)
    first, between = run(slice(0, 21), **values)
    second, end = run(slice(21, None), **values | dict(initial_state=between))
    assert relative(torch.cat([first, second], -1), whole) < 1e-12
    assert relative(end, last) < 1e-12
    _, found = gradients(lambda **v: selective_scan(**v, delta_softplus=True, backend=backend), values)
    _, expected = gradients(lambda **v: selective_scan(**v, delta_softplus=True, backend="reference"), values)
    for name, a, b in zip(values, found, expected, strict=True):
        assert relative(a, b) < 1e-10, name


@pytest.mark.parametrize("state", [1, 2, 7, 64, 256])
def test_any_number_of_states(state):
    values = arguments(1, 1, 3, 40, state)
    y, found = gradients(lambda **v: selective_scan(**v, delta_softplus=True, backend="numba"), values)
    exact, expected = gradients(
        lambda **v: selective_scan(**v, delta_softplus=True, backend="reference"), values
    )
    assert relative(y, exact) < 1e-12
    for name, a, b in zip(values, found, expected, strict=True):
        assert relative(a, b) < 1e-10, name


@pytest.mark.parametrize("batch,tokens", [(0, 5), (2, 0)])
def test_nothing_in_gives_nothing_out_and_gradients_of_zero(batch, tokens):
    values = arguments(batch=batch, tokens=tokens)
    y, last = selective_scan(**values, delta_softplus=True, return_last_state=True)
    assert y.shape == values["u"].shape and last.shape == values["initial_state"].shape
    assert torch.equal(last, values["initial_state"])
    got = torch.autograd.grad(y.sum(), list(values.values()), allow_unused=True, materialize_grads=True)
    assert all(not gradient.any() for gradient in got)


def test_flops_are_counted_forward_and_backward():
    values = arguments(2, 2, 5, 11, 3, torch.float32)
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(**values)
    assert counter.get_total_flops() == scan_flops(2, 2, 11, 5, 3) == 9 * 2 * 2 * 11 * 5 * 3
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 20 * 2 * 2 * 11 * 5 * 3


def test_nothing_is_kept_where_no_gradient_is_wanted():
    values = operands(grad=False)
    assert torch.ops.posemamba.scan(*values[:-2], False, "numba")[2].numel() == 0


@pytest.mark.parametrize("backend", ["triton", "mamba_ssm"])
def test_a_backend_that_is_not_here_says_why(backend):
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    values = {name: value for name, value in arguments().items() if name != "initial_state"}
    with pytest.raises(ValueError, match=f"the backend '{backend}' cannot be used here: "):
        selective_scan(**values, backend=backend)


class _Both(torch.nn.Module):
    """A selective and a directional scan of the same tokens, for torch.export."""

    def forward(self, x, low, W, A, B, reads):
        y = directional_scan(x, low, A, B, B, A[..., 0], reads, reads, delta_projection=W)
        u, matrix = x.mT, B.mT
        return y + selective_scan(u, u.square(), A[0], matrix[:, :1], matrix[:, 0], z=u).mT


def both(batch, tokens):
    generator = torch.Generator().manual_seed(tokens)
    shapes = ((tokens, 3), (2, tokens, 2), (2, tokens, 5))
    x, low, B = (torch.rand(batch, *shape, generator=generator) for shape in shapes)
    reads = torch.stack([torch.randperm(tokens, generator=generator) for _ in range(2)]).int()
    return x, low, torch.ones(2, 3, 2), -torch.ones(2, 3, 5), B, reads


@pytest.mark.parametrize("dynamic", [True, None])
def test_both_scans_compile_for_any_number_of_tokens(dynamic):
    """Fake kernels with symbolic sizes: compiled once or twice, and not once a length."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    count = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(_Both(), fullgraph=True, dynamic=dynamic, backend=count)
    for batch, tokens in ((4, 45), (3, 40), (6, 70), (5, 33)):
        values = both(batch, tokens)
        leaves = [value.requires_grad_() for value in values[:5]]
        y, expected = compiled(*values), _Both()(*values)
        assert torch.equal(y, expected)
        pairs = (torch.autograd.grad(out.sum(), leaves) for out in (y, expected))
        assert all(relative(a, b) < 1e-6 for a, b in zip(*pairs, strict=True))
    assert count.frame_count <= (1 if dynamic else 2)


def test_both_scans_are_exported_for_any_number_of_tokens():
    batch, tokens = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("tokens", min=2, max=9000)
    shapes = ({0: batch, 1: tokens}, {0: batch, 2: tokens}, None, None, {0: batch, 2: tokens}, {1: tokens})
    exported = torch.export.export(_Both(), both(3, 12), dynamic_shapes=shapes).module()
    for sizes in ((1, 100), (5, 3)):
        assert torch.equal(exported(*both(*sizes)), _Both()(*both(*sizes)))


@pytest.mark.parametrize("backend", ["auto", "reference", "associative", "numba"])
def test_on_the_meta_device_there_are_shapes(backend):
    values = [value.to("meta") for value in both(2, 9)]
    x, low, W, A, B, reads = values
    leaves = [value.requires_grad_() for value in values[:5]]
    y = directional_scan(x, low, A, B, B, A[..., 0], reads, reads, delta_projection=W, backend=backend)
    u, matrix, options = x.mT, B[:, 0].mT, dict(return_last_state=True, backend=backend)
    z, last = selective_scan(u, u, A[0], matrix, matrix, z=u, **options)
    assert y.shape == z.mT.shape == x.shape and last.shape == (2, 3, 5) and y.device.type == "meta"
    gradients = torch.autograd.grad((y + z.mT).sum(), leaves)
    assert all(a.shape == b.shape for a, b in zip(gradients, leaves, strict=True))


def test_the_gpus_kernels_promise_their_shapes_for_symbolic_sizes():
    """The fake kernel of CUDA needs no GPU: what it keeps is asked for with sizes that are not known yet."""
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

    from posemamba.scan import cuda

    env = ShapeEnv()
    batch, tokens = (
        env.create_unspecified_symint_and_symbol(
            value, torch._dynamo.source.ConstantSource(name), DimDynamic.DYNAMIC
        )
        for value, name in ((2, "batch"), (500, "tokens"))
    )
    shape = cuda.kept(batch, 1, tokens, 128, 4, 16)
    assert [int(size) for size in shape] == list(cuda.kept(2, 1, 500, 128, 4, 16))


def test_a_trace_made_with_gradients_on_passes_torchs_own_check_and_has_gradients():
    x, B = torch.rand(1, 4, 8), torch.ones(1, 2, 8)
    layer = torch.nn.Linear(2, 4)
    layer.forward = lambda u: selective_scan(u, u, layer.weight, B, B, backend="numba")
    traced = torch.jit.trace(layer, x)
    assert torch.equal(traced(x), layer(x))
    found, expected = (torch.autograd.grad(f(x).sum(), layer.weight)[0] for f in (traced, layer))
    assert torch.equal(found, expected)


IMPORTED = """
import sys, torch
before = set(sys.modules)
import posemamba.scan
heavy = ("numba", "triton", "torch._dynamo", "torch._inductor", "torch.utils.flop_counter")
found = [name for name in set(sys.modules) - before if name.startswith(heavy)]
assert not found, found
from torch.utils.flop_counter import FlopCounterMode
x = torch.ones(1, 4, 8)
with FlopCounterMode(display=False) as counter:
    posemamba.scan.selective_scan(x, x, -torch.ones(4, 2), torch.ones(1, 2, 8), torch.ones(1, 2, 8))
assert counter.get_total_flops() == 9 * 4 * 8 * 2
"""


def test_importing_the_scan_brings_nothing_heavy_along_and_flops_count_all_the_same():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
