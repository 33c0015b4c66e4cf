"""`python triton_program.py interpret|front|cuda|replay`: the Triton kernels' errors, as JSON.

Against a plain float64 recurrence and autograd. Triton chooses between its interpreter and its compiler when
it is imported, so `test_triton.py` runs this in a process of its own.
"""

import json
import sys
import tempfile

import torch

NAMES = ("x", "delta", "A", "B", "C", "D", "bias", "initial", "B_scale", "C_scale", "projection")
ALL = NAMES[5:10]
BASE = dict(batch=1, sources=1, K=1, L=11, inner=3, N=2, has=(), reads=False, mixes=False, through_mix=True)
BASE |= dict(softplus=True, rank=0, chunk=64, fill=2112, turns=1056)
BASE |= dict(strides="plain", dtype="float32", parameters=None, rough=False)
# Numbers are small because the interpreter is slow. A tile has 8 tokens; chunk and fill cut the sequence.
CASES = {
    "the model": dict(K=4, L=9, N=1, has=("D",), reads=True, mixes=True),
    "the model, several parts": dict(
        K=2, L=19, inner=5, has=("D",), reads=True, mixes=True, chunk=8, turns=3
    ),
    "a step of low rank": dict(K=2, L=9, inner=3, N=1, has=("bias",), reads=True, rank=2),
    "released gradient": dict(
        K=2, L=7, has=("D",), reads=True, mixes=True, through_mix=False, softplus=False
    ),
    "parts of two chunks, the last one shorter": dict(
        L=37, N=1, has=ALL, chunk=8, fill=3, strides="tokens", turns=2
    ),
    "chunks of two tiles": dict(L=40, N=1, has=("initial", "bias"), chunk=16, dtype="float64"),
    "many parts": dict(L=75, inner=1, N=1, has=("initial",), chunk=8),
    "everything, each direction its own source": dict(
        batch=2, sources=2, K=2, L=7, has=ALL, reads=True, mixes=True, dtype="float64", softplus=False
    ),
    "groups, each its own source": dict(sources=3, K=3, L=6, N=1, has=("D", "bias"), strides="tokens"),
    "mixed without an order": dict(K=2, L=5, mixes=True, has=("initial",)),
    "bfloat16": dict(K=2, L=9, N=1, has=ALL, reads=True, mixes=True, dtype="bfloat16", parameters="float32"),
    "float16, expanded and sliced": dict(
        K=2, L=10, N=1, has=("D",), strides="odd", dtype="float16", parameters="float32", chunk=8
    ),
    "sliced, between what is no number": dict(K=2, L=11, reads=True, mixes=True, strides="odd", chunk=8),
    "numbers 2^31 and more apart": dict(batch=3, K=3, L=5, reads=True, strides="far"),
    "powers of 2 as rough as a GPU's": dict(L=37, N=1, has=ALL, chunk=8, fill=3, rough=True),
    "float32 with float64 rates": dict(L=5, has=("D",), parameters="float64"),
    "two channels a thread, two blocks": dict(L=9, inner=70, N=1, has=("D",)),
    "a state of 20": dict(L=3, inner=2, N=20, has=("B_scale", "C_scale")),
    "a state of 256": dict(L=2, inner=2, N=256),
    "one of each": dict(L=1, inner=1, N=1, has=ALL, reads=True, mixes=True),
}
# As large as the published network's blocks, for a GPU.
BLOCK = dict(batch=2, K=4, L=4131, inner=128, N=16, has=("D", "bias"), reads=True, mixes=True)
LARGE = {
    "a block of S": BLOCK | dict(batch=4, has=("D",)),
    "a block of S in bfloat16": BLOCK | dict(dtype="bfloat16", parameters="float32"),
    "mamba": dict(batch=2, L=2047, inner=200, N=16, has=("D", "bias", "initial"), strides="tokens"),
}
# Relative to the norm. In half precision only the result is rounded: the sums are in float32. (The
# interpreter cuts bfloat16 off where a GPU rounds.)
TOLERANCE = {"float64": 1e-13, "float32": 3e-6, "bfloat16": 8e-3, "float16": 6e-4}


def _arguments(case: dict) -> tuple[list, list]:
    """The ten float arguments (float64 leaves or None) with the strides asked for, and [reads, mixes]."""
    g = torch.Generator().manual_seed(0)
    b, S, K, L, I, N = (case[name] for name in ("batch", "sources", "K", "L", "inner", "N"))  # noqa: E741

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    if case["strides"] == "tokens":  # as selective_scan's caller has them
        x, delta = normal(b, S, I, L).mT, normal(b, K, I, L).mT
        B, C = normal(b, K, N, L).mT, normal(b, K, N, L).mT
    elif case["strides"] == "odd":
        x, delta = normal(b, S, 2 * L, 2 * I)[:, :, 1::2, ::2], normal(b, 1, L, 1).expand(b, K, L, I)
        B, C = normal(b, 1, L, N).expand(b, K, L, N), normal(b, 2, K, N, L)[:, 1].mT
    else:
        x, delta, B, C = normal(b, S, L, I), normal(b, L, K, I).transpose(1, 2), *normal(2, b, K, L, N)
    delta = delta / 2 if case["softplus"] else delta.abs().sub(0.2) / 4
    A = -2 * torch.rand(K, I, N, generator=g, dtype=torch.float64)
    few = dict(D=normal(K, I), bias=normal(K, I) / 4, initial=normal(b, K, I, N))
    few |= dict(B_scale=normal(K, I, N), C_scale=normal(I, N, K).permute(2, 0, 1))
    values = [x, delta, A, B, C, *(few[name] if name in case["has"] else None for name in ALL), None]
    if case["rank"]:
        values[1], values[-1] = normal(b, K, L, case["rank"]), normal(K, I, case["rank"]) / 2
    reads = torch.stack([torch.randperm(L, generator=g) for _ in range(K)]).int() if case["reads"] else None
    # A third of the tokens is mixed into several places, none into some.
    mixes = torch.randint(-1, max(1, L // 3), (K, L), generator=g).int() if case["mixes"] else None
    return values, [reads, mixes]


def _placed(value, strides: tuple, how: str):
    """The same numbers, which `to` left close together: apart, between NaN, or too far for 32 bits."""
    if how not in ("odd", "far") or (how == "far" and value.is_cuda):
        return value
    one = value[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)]
    b, k, L, I = one.shape  # noqa: E741
    if how == "odd":
        place = one.new_full((b, k, 2 * L + 1, 2 * I + 1), float("nan"))[..., 1::2, 1::2]
    else:  # a file with holes: the address counts, not the size
        apart = (2**30 + 1000, 2**30 + 300, 2**29 + 50, 2**30 + 7)
        numbers = 1 + sum((n - 1) * stride for n, stride in zip(one.shape, apart, strict=True))
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(numbers * one.element_size())
            place = torch.from_file(file.name, True, numbers, dtype=one.dtype).as_strided(one.shape, apart)
    return place.copy_(one).expand(value.shape)


def _recurrence(values, reads, mixes, softplus: bool, through_mix: bool):
    """y and the last states, by the definition: a loop over the directions and tokens."""
    x, delta, A, B, C, D, bias, initial, B_scale, C_scale, projection = values
    delta = delta if projection is None else delta @ projection.mT
    (b, S, L, _), K = x.shape, len(A)
    outs = [[] for _ in range(S)]
    lasts = []
    for k in range(K):
        source = k * S // K
        read = torch.arange(L, device=x.device) if reads is None else reads[k].long()
        u = x[:, source, read]
        if mixes is not None:
            mixed = (x if through_mix else x.detach())[:, source, mixes[k].long().clamp(min=0)]
            u = u + mixed * (mixes[k] >= 0)[:, None]
        step = delta[:, k, read] if bias is None else delta[:, k, read] + bias[k]
        step = torch.nn.functional.softplus(step) if softplus else step
        h = x.new_zeros(b, *A.shape[1:]) if initial is None else initial[:, k]
        out = []
        for i, token in enumerate(read.tolist()):
            into, seen = B[:, k, token, None, :], C[:, k, token, None, :]
            if B_scale is not None:
                into, seen = into * B_scale[k], seen * C_scale[k]
            h = torch.exp(step[:, i, :, None] * A[k]) * h + (step[:, i] * u[:, i])[:, :, None] * into
            out.append((h * seen).sum(-1) + (0 if D is None else D[k] * u[:, i]))
        back = torch.empty_like(read)
        back[read] = torch.arange(L, device=read.device)
        outs[source].append(torch.stack(out, 1)[:, back])
        lasts.append(h)
    return torch.stack([sum(out) for out in outs], 1), torch.stack(lasts, 1)


def _errors(case: dict, device: str) -> dict:
    """Relative errors of a case by name, or why something about the results is wrong."""
    from posemamba.scan.cuda import backend as gpu
    from posemamba.scan.operands import Operands

    case = BASE | case
    gpu.CHUNK, gpu.FILL, gpu.TURNS = case["chunk"], case["fill"], case["turns"]
    given, (reads, mixes) = _arguments(case)
    many, few = (getattr(torch, case[name] or case["dtype"]) for name in ("dtype", "parameters"))
    values = [
        None if v is None else v.to(device, many if name in ("x", "delta", "B", "C") else few)
        for name, v in zip(NAMES, given, strict=True)
    ]
    for i in (0, 1, 3, 4):
        values[i] = _placed(values[i], given[i].stride(), case["strides"])
    if device == "cpu":
        _rough(case["rough"])
    reads, mixes = (None if t is None else t.to(device) for t in (reads, mixes))
    leaves = [None if v is None else v.double().clone().requires_grad_() for v in values]
    y, last = _recurrence(leaves, reads, mixes, case["softplus"], case["through_mix"])
    dy = torch.randn(*y.shape, generator=torch.Generator().manual_seed(1)).mT.contiguous().mT.to(device, many)
    grads = torch.autograd.grad((y * dy.double()).sum(), [v for v in leaves if v is not None])
    expected = dict(zip([n for n, v in zip(NAMES, values, strict=True) if v is not None], grads, strict=True))

    operands = Operands(*values, reads, mixes, case["softplus"], case["through_mix"])
    got_y, got_last, starts = gpu.forward(operands, True)
    found = gpu.backward(dy, starts, operands)
    again = gpu.forward(operands, False) if case["L"] < 9 else None
    if device == "cuda":  # no sum's order may depend on who comes first
        twice = gpu.backward(dy, starts, operands)
        if not all(a is None or torch.equal(a, b) for a, b in zip(found, twice, strict=True)):
            raise AssertionError("the gradients of the same numbers are not the same")
    if starts.shape != gpu.kept(*operands.sizes):
        raise AssertionError("what is kept has another shape than was promised")
    result = {"parts": gpu.plan(*operands.sizes).parts}
    if got_y.dtype != values[0].dtype or not got_y.is_contiguous():
        result["y is not like x"] = float("inf")
    if again and not (torch.equal(again[0], got_y) and again[2].numel() == 0):
        result["keep changes y"] = float("inf")
    pairs = {"y": (got_y, y), "last": (got_last, last)}
    for name, value, grad in zip(NAMES, values, found, strict=True):
        if value is None or grad is None or grad.dtype != value.dtype or grad.shape != value.shape:
            if value is not None or grad is not None:
                result["d" + name + " is not like it"] = float("inf")
            continue
        pairs["d" + name] = (grad, expected[name])
    for name, (a, b) in pairs.items():
        error = ((a.double() - b).norm() / b.norm().clamp(min=1e-3)).item()
        result[name] = error if error == error else float("inf")
    return result


def _quicken_interpreter() -> None:
    """Scans and reductions on whole rows instead of single numbers; the language patched once only."""
    import numpy as np
    from triton.runtime import interpreter

    def rows(self, inputs):
        total = None
        for row in zip(*(np.moveaxis(t.handle.data, self.axis, 0) for t in inputs), strict=True):
            total = row if total is None else self.combine_fn.fn(*total, *row)
            total = total if isinstance(total, tuple) else (total,)
            yield total

    def scan(self, inputs):
        columns = zip(*rows(self, inputs), strict=True)
        pairs = zip(columns, inputs, strict=True)
        return [self.to_tensor(np.stack(column, self.axis), t.dtype) for column, t in pairs]

    def reduce(self, inputs):
        *_, last = rows(self, inputs)
        if self.keep_dims:
            last = [np.expand_dims(v, self.axis) for v in last]
        return [self.to_tensor(v, t.dtype) for v, t in zip(last, inputs, strict=True)]

    patched = set()

    def call(self, *args, **kwargs):
        if self.fn not in patched:
            patched.add(self.fn)
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **kwargs)

    interpreter.InterpretedFunction.__call__ = call
    # On a CPU all is where it belongs; to copy it there would fill the holes of numbers that are far apart.
    interpreter.GridExecutor._restore_args_dev = lambda *_: None
    interpreter.ScanOps.generic_scan, interpreter.ReduceOps.generic_reduce = scan, reduce


def _rough(wanted: bool) -> None:
    """Have the interpreter's powers be off by 2^-22, up and down: as far as `ex2.approx`, a GPU's, may be."""
    import numpy as np
    from triton.runtime import interpreter

    def power(function):
        def of(self, arg):
            exact = self.unary_op(arg, function)
            if wanted and exact.data.dtype == np.float32:
                off = np.where(exact.data.view(np.int32) % 2, 2.0**-22, -(2.0**-22))
                exact.data = (exact.data * (1 + off)).astype(np.float32)
            return exact

        return of

    interpreter.InterpreterBuilder.create_exp2 = power(np.exp2)
    interpreter.InterpreterBuilder.create_exp = power(np.exp)


def _front(device: str) -> dict:
    """Through both front doors, operators and autograd: the relative difference from the reference."""
    from posemamba.scan import directional_scan, selective_scan

    g = torch.Generator().manual_seed(0)

    def both(scan, shapes: dict, **more) -> dict:
        values = {name: torch.randn(*shape, generator=g).to(device) for name, shape in shapes.items()}
        values["A"] = -values["A"].abs()
        leaves = [value.requires_grad_() for value in values.values()]
        results = {}
        for backend in ("triton", "reference"):
            y = scan(**values, **more, delta_softplus=True, backend=backend)
            results[backend] = [y, *torch.autograd.grad(y.square().sum(), leaves)]
        pairs = zip(["y", *shapes], results["triton"], results["reference"], strict=True)
        return {name: float((a - b).norm() / b.norm()) for name, a, b in pairs}

    shapes = dict(u=(2, 4, 9), delta=(2, 4, 9), A=(4, 2), B=(2, 2, 2, 9), C=(4, 2), D=(4,), z=(2, 4, 9))
    found = both(selective_scan, shapes)
    # Where tokens are mixed in is sorted once for a table, and again where the table was changed in place.
    shapes = dict(x=(1, 5, 3), delta=(1, 2, 5, 3), A=(2, 3, 2), B=(1, 2, 5, 2), C=(1, 2, 5, 2), D=(2, 3))
    reads, mixes = torch.stack([torch.randperm(5, generator=g) for _ in range(2)]), torch.full((2, 5), -1)
    mixes[:, 1] = 3
    sort, sorts = torch.Tensor.sort, []
    torch.Tensor.sort = lambda *given, **named: (sorts.append(1), sort(*given, **named))[1]
    for call, count in (("first", 1), ("second", 1), ("changed", 2)):
        if call == "changed":
            mixes[1] = torch.tensor([4, 4, 0, -1, 4])
        more = both(directional_scan, shapes, reads=reads.to(device), mixes=mixes)
        assert len(sorts) == count, (call, len(sorts))
        found |= {f"{call} {name}": error for name, error in more.items()}
    return found


def _replayed(device: str) -> dict[str, bool]:
    """Whether a stream of its own or a CUDA graph changes no bit, and a wrong table is refused."""
    from posemamba.scan import directional_scan

    g = torch.Generator().manual_seed(0)
    shapes = dict(x=(2, 500, 48), delta=(2, 4, 500, 48), A=(4, 48, 3), B=(2, 4, 500, 3), C=(2, 4, 500, 3))
    values = {name: torch.randn(*shape, generator=g).to(device) for name, shape in shapes.items()}
    values |= dict(A=-values["A"].abs(), D=torch.ones(4, 48, device=device))
    leaves = [value.requires_grad_() for value in values.values()]
    reads = torch.stack([torch.randperm(500, generator=g) for _ in range(4)]).int().to(device)
    mixes = torch.randint(-1, 99, (4, 500), generator=g).int().to(device)

    def step():
        y = directional_scan(**values, reads=reads, mixes=mixes, delta_softplus=True, backend="triton")
        return [y.detach(), *torch.autograd.grad(y.square().sum(), leaves)]

    def same(found) -> bool:
        torch.cuda.synchronize(device)
        return all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))

    plain = step()  # of a device that may not be the current one
    side, main = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        beside = [step() for _ in range(3)]
    main.wait_stream(side)
    result = {"stream": all(map(same, beside))}
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()
        for value in captured:
            value.zero_()
        graph.replay()
    result["graph"] = same(captured)
    try:
        reads[0, 0] = reads[0, 1]
        step()
    except ValueError as error:
        result["refused"] = "not a permutation" in str(error)
    return result


if __name__ == "__main__":
    if sys.argv[1] == "replay":
        print(json.dumps(_replayed(sys.argv[2])))
    elif sys.argv[1] == "front":
        _quicken_interpreter()
        print(json.dumps(_front("cpu")))
    else:
        if sys.argv[1] == "interpret":
            _quicken_interpreter()
            chosen, device = CASES, "cpu"
        else:
            chosen, device = CASES | LARGE, "cuda"
        print(json.dumps({name: _errors(case, device) for name, case in chosen.items()}))
