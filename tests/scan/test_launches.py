"""What the Triton kernels are handed, which needs no GPU: they are replaced by what writes it down.

The tensors are torch's meta and fake ones, of any size and on a second GPU that is not there. This shows what
Python decides (grids, counts, devices, what is waited for), and nothing that a kernel does.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import posemamba.scan
from posemamba.scan.cuda import backend
from posemamba.scan.operands import Operands
from tools.compile_kernels import MOST_REGISTERS

pytest.importorskip("triton")
from posemamba.scan.cuda import gradients, kernels

KERNELS = dict(part_ends=kernels, carry=kernels, outputs=kernels, gradients=gradients, merge=gradients)
COUNTS = ("K", "each", "rows", "sources", "L", "inner", "slots", "apart", "chunks", "parts", "span", "one")
SECOND = torch.device("cuda:1")


class _Written:
    """In a kernel's place: writes down its grid and, by name, what it would be given."""

    def __init__(self, kernel, calls: list, look=None):
        self.kernel, self.calls, self.look = kernel, calls, look

    def __getitem__(self, grid):
        return partial(self._launch, grid)

    def _launch(self, grid, *values, **named):
        if self.look is not None:
            self.look()
        values = dict(zip(self.kernel.arg_names, values, strict=False)) | named
        assert set(self.kernel.arg_names) <= set(values)
        self.calls.append((self.kernel, grid, values))


@pytest.fixture
def calls(monkeypatch) -> list:
    written = []
    for name, module in KERNELS.items():
        monkeypatch.setattr(module, name, _Written(getattr(module, name), written))
    return written


def operands(
    device="meta", b=2, sources=1, K=4, L=500, inner=128, N=16, dtype=torch.float32, rank=0
) -> Operands:
    """Those of a network's block, without numbers."""
    empty = partial(torch.empty, device=device)
    many = partial(empty, dtype=dtype)
    x, delta, B, C = many(b, sources, L, inner), many(b, K, L, rank or inner), *many(2, b, K, L, N)
    tables = empty(2, K, L, dtype=torch.int32)
    D, bias = empty(2, K, inner)
    W = empty(K, inner, rank) if rank else None
    return Operands(x, delta, empty(K, inner, N), B, C, D, bias, None, None, None, W, *tables, True)


def both_ways(o: Operands) -> tuple[Operands, tuple, tuple]:
    y, last, starts = backend.forward(o, True)
    return o, (y, last, starts), backend.backward(torch.empty_like(y), starts, o)


#: Each passes 2^31 in numbers: by batch (and 65,535 in rows), tokens, channels, or states.
LARGE = {
    "batch": dict(b=70_000, L=4131),
    "tokens": dict(b=1, L=2**26, sources=4),
    "channels": dict(b=2, L=64, inner=2**26, N=16),
    "states": dict(b=9_000, L=1000, N=256),
}


@pytest.mark.parametrize("name", LARGE)
def test_grids_are_lines_and_counts_fit_32_bits_where_numbers_do_not(calls, name):
    o, (y, _, states), _ = both_ways(operands(**LARGE[name]))
    assert max(o.delta.numel(), states.numel(), y.numel()) > 2**31
    assert {kernel.fn.__name__ for kernel, *_ in calls} >= {"outputs", "gradients", "merge"}
    for kernel, grid, values in calls:
        assert len(grid) == 1 and 0 < grid[0] < 2**31, kernel
        assert all(values[name] < 2**31 for name in COUNTS if name in values), kernel


@pytest.mark.parametrize(
    "sizes",
    [
        dict(b=1, L=2**28),
        dict(b=1, L=2**23, N=256),
        dict(b=1, L=1, inner=2**23, N=256),
        dict(b=2**31, sources=1, K=1, L=1, inner=1, N=1),
        dict(b=2**27, K=2, L=16, inner=1, N=1),  # it is dx that has too many programs
    ],
)
def test_more_than_can_be_counted_is_refused(calls, sizes):
    with pytest.raises(ValueError, match="too many for the backend 'triton'"):
        backend.forward(operands(**sizes), True)
    assert not calls


def test_states_that_stand_far_apart_are_brought_together(calls):
    """The kernels multiply the state's number by B's stride in 32 bits."""
    o = operands(N=16)
    o.B = torch.empty(16, 2, 4, 2**24, device="meta").permute(1, 2, 3, 0)[:, :, :500]
    assert o.B.stride(-1) * 15 < 2**31 <= o.B.stride(-1) * 16
    backend.forward(o, False)
    assert [values["B_n"] for kernel, _, values in calls if "B_n" in values] == [1]


@pytest.mark.parametrize("N", [1, 3, 16])
def test_no_kernel_is_compiled_anew_for_another_number_of_tokens(calls, N):
    """Triton tells kernels apart by types and, of numbers that it may look at, by 1 and multiples of 16."""

    def kind(kernel, name, value):
        if isinstance(value, torch.Tensor) or value is None:
            return getattr(value, "dtype", None)
        parameter = kernel.params[kernel.arg_names.index(name)]
        if parameter.is_constexpr:
            return value
        return value < 2**31, parameter.do_not_specialize or (value == 1, value % 16 == 0)

    kinds = {}
    for L in (65, 80, 1008, 1009, 4131):
        for b in (1, 16):
            both_ways(operands(b=b, L=L, N=N, inner=48, rank=3))
    for kernel, _, values in calls:
        of = tuple(kind(kernel, name, values[name]) for name in kernel.arg_names)
        kinds.setdefault((kernel.fn.__name__, values.get("REVERSE")), set()).add(of)
    assert len(kinds) == 7 and all(len(of) == 1 for of in kinds.values())


def test_registers_are_asked_for_as_the_tool_compiles_them(calls, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    both_ways(operands(b=1))
    for kernel, _, values in calls:
        assert values.get("maxnreg") == MOST_REGISTERS.get(kernel.fn.__name__)
    assert {kernel.fn.__name__ for kernel, *_ in calls} == set(KERNELS)


class _On(TorchDispatchMode):
    """Refuses an operation with a tensor elsewhere or one that waits; remembers the sizes of what is made."""

    def __init__(self, device: torch.device):
        super().__init__()
        self.device, self.made = device, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        waits = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_unique2", "masked_select")
        assert function.overloadpacket.__name__ not in waits, function
        for value in torch.utils._pytree.tree_leaves((args, kwargs, made)):
            if isinstance(value, torch.Tensor):
                assert value.device == self.device, function
        leaves = torch.utils._pytree.tree_leaves(made)
        self.made += [value.numel() for value in leaves if isinstance(value, torch.Tensor)]
        return made


@pytest.fixture
def second(monkeypatch):
    """A second GPU, that is fake: the devices that are current."""
    current = [torch.device("cuda:0")]

    @contextmanager
    def device(chosen):
        current.append(torch.device(chosen))
        yield
        current.pop()

    def look():
        assert current[-1] == SECOND, "a kernel is launched while another device is current"

    # torch's own two ask for a real device.
    def contiguous(values):
        return values if values.is_contiguous() else values.clone(memory_format=torch.contiguous_format)

    def item(values, index):
        for dim in reversed(range(len(index))):
            assert isinstance(index[dim], int) or index[dim] == slice(None)
            values = values.select(dim, index[dim]) if isinstance(index[dim], int) else values
        return values

    monkeypatch.setattr(torch.Tensor, "__getitem__", item)
    monkeypatch.setattr(torch.Tensor, "contiguous", contiguous)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "a stream")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    written = []
    for name, module in KERNELS.items():
        monkeypatch.setattr(module, name, _Written(getattr(module, name), written, look))
    with FakeTensorMode(), _On(SECOND) as made:
        yield written, made
    assert len(current) == 1


@pytest.mark.parametrize("more", [{}, dict(rank=8, dtype=torch.bfloat16), dict(sources=4)])
def test_all_happens_on_the_second_gpu_and_nothing_is_waited_for(second, more):
    """As a CUDA graph wants it: a fake tensor has no numbers to wait for, and no operation asks for them."""
    calls, made = second
    o, (y, last, states), found = both_ways(operands(SECOND, b=40, **more))
    assert {kernel.fn.__name__ for kernel, *_ in calls} >= {"outputs", "gradients", "merge"}
    assert y.dtype == o.x.dtype and last.device == states.device == SECOND
    assert all(grad is None or grad.shape == v.shape for grad, v in zip(found, o.real, strict=True))
    # Nothing has states for each token and channel; the largest are delta and its like, and the blocks' dB.
    b, _, L, inner, K, N = o.sizes
    assert max(made.made) <= b * K * L * max(inner, -(-inner // 64) * N, 2 * N)


def test_the_tables_lists_are_not_kept_while_a_graph_is_captured(second):
    _, made = second
    mixes = torch.empty(4, 9, dtype=torch.int32, device=SECOND)
    backend._mixed_in(mixes, 1)
    before = len(made.made)
    backend._mixed_in(mixes, 1)
    assert len(made.made) > before and mixes not in backend._lists


def test_no_states_are_no_work_for_a_kernel(calls, monkeypatch):
    monkeypatch.setattr(posemamba.scan, "_choose", lambda backend, device: backend)
    u, B = torch.rand(1, 2, 3), torch.zeros(1, 0, 3)
    y = posemamba.scan.selective_scan(u, u, torch.zeros(2, 0), B, B, torch.ones(2), backend="triton")
    assert torch.equal(y, u) and not calls


FORKED = """
import torch

def refuse():
    raise SystemExit("a device was looked for")

torch.cuda.is_available = torch.cuda.device_count = refuse
import posemamba.scan, posemamba.scan.cuda
from posemamba.scan.cuda import gradients, kernels

x = torch.ones(1, 4, 8)
posemamba.scan.selective_scan(x, x, -torch.ones(4, 2), torch.ones(1, 2, 8), torch.ones(1, 2, 8))
assert not torch.cuda.is_initialized()
"""


def test_no_device_is_looked_for_before_one_is_wanted():
    """To ask CUDA for its devices spoils it for processes that are forked later."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


CACHED = """
import os, sys
if sys.argv[1] == "with":
    import posemamba.scan.cuda
from triton.runtime.cache import get_cache_manager
where = get_cache_manager("ab").put(b"compiled", "file")
print(where, os.environ["TRITON_CACHE_DIR"])
"""


def test_a_cache_that_cannot_be_written_is_replaced(tmp_path):
    (tmp_path / "file").touch()
    for folder, way, right in (("new", "with", True), ("file/x", "without", False), ("file/x", "with", True)):
        environment = os.environ | dict(TRITON_CACHE_DIR=str(tmp_path / folder))
        command = [sys.executable, "-c", CACHED, way]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (done.returncode == 0) == right, done.stderr[-2000:]
        if right:
            where, chosen = done.stdout.split()
            assert where.startswith(chosen) and (chosen == str(tmp_path / folder)) == (folder == "new")
            assert folder == "new" or not os.path.exists(chosen)


def test_kernels_are_not_tuned_by_trying():
    """What is chosen by timing may differ between processes and machines; here the shapes alone choose."""
    assert {type(getattr(module, name)).__name__ for name, module in KERNELS.items()} == {"JITFunction"}
