"""What a scan asks of its arguments, and says in one sentence where it does not get it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

#: States a channel may have.
MOST_STATES = 256
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int32, torch.int64)
#: Tables that were found right, as what, and in which version.
_right = WeakIdKeyDictionary()


def check_stability(
    delta: Float[Tensor, "..."],
    A: Float[Tensor, "*channels state"],
    delta_bias: Float[Tensor, "*channels"] | None = None,
    delta_softplus: bool = False,
) -> None:
    """Refuse steps and rates with which states grow: a step below 0, an A above 0, and what is not finite.

    The scan itself takes them, and most of its outputs then become inf or NaN. This reads every number, and
    on a GPU waits for them, so it is for the first look at a model that fails and not for training.

    Args:
        delta: the steps, of any shape; with a delta_bias (batch, channels, tokens), as `selective_scan`
            takes them, or (batch, directions, tokens, inner), as `directional_scan` does.
        A: the decay rates, of any shape.
        delta_bias: added to the steps.
        delta_softplus: the steps are still to go through a softplus.

    Raises:
        ValueError: how many steps are negative, the smallest of them and where it is; likewise of A.
    """
    if delta_bias is not None:
        found, shape = tuple(delta_bias.shape), tuple(delta.shape)
        if len(shape) not in (3, 4) or found != shape[1 : 2 if len(shape) == 3 else 4 : 2]:
            expected = f"expected one number for each channel of delta, which has shape {shape}"
            raise ValueError(f"check_stability: delta_bias has shape {found}, {expected}")
        delta = delta + (delta_bias[:, None] if delta.ndim == 3 else delta_bias[:, None, :])
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    found, steps = [], ("steps", -delta.detach(), "negative, the smallest")
    for name, values, wrong in (steps, ("numbers of A", A.detach(), "positive, the largest")):
        finite, sign = values.isfinite(), -1 if name == "steps" else 1
        growing = torch.where(finite, values, 0).clamp(min=0)
        for what, bad in ((wrong, growing), ("not finite, the first", ~finite)):
            if count := int(bad.count_nonzero()):
                where = torch.unravel_index(bad.flatten().to(values.dtype).argmax(), values.shape)
                where = tuple(int(i) for i in where)
                worst = sign * values[where]
                found.append(f"{count} of {values.numel()} {name} are {what} {worst:.3g} at {where}")
    if found:
        raise ValueError(f"check_stability: {'; '.join(found)}")


def check_tensors(function: str, first: str, given: dict, optional: tuple[str, ...], tables=()) -> None:
    """What holds for all arguments of a scan: tensors of real numbers on one device, that of the first.

    Those named in `optional` may be None; those in `tables` hold whole numbers.

    Raises:
        TypeError, ValueError: an argument is not so; the message names it and the function.
    """
    for name, value in given.items():
        if value is None and name in optional:
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} must be a tensor, found {type(value).__name__}")
        if value.is_complex():
            raise TypeError(f"{function}: {name} is complex; only real state spaces are supported")
        if value.dtype not in (_WHOLE if name in tables else _DTYPES):
            expected = "int32 or int64" if name in tables else "a floating-point one"
            raise TypeError(f"{function}: {name} has dtype {value.dtype}, expected {expected}")
        if value.device != given[first].device:
            raise ValueError(f"{function}: {name} is on {value.device}, {first} is on {given[first].device}")


def check_shapes(function: str, given: dict, expected: dict[str, tuple]) -> None:
    """Raises ValueError for the first argument that is given and has another shape than the expected."""
    for name, shape in expected.items():
        value = given[name]
        if value is not None and value.shape != shape:
            raise ValueError(f"{function}: {name} has shape {tuple(value.shape)}, expected {shape}")


def check_states(function: str, state: int) -> None:
    """Raises ValueError where there are more states than the kernels have room for."""
    if state > MOST_STATES:
        raise ValueError(f"{function}: A has {state} states, expected at most {MOST_STATES}")


def found_right(table: Tensor, name: str) -> bool:
    """Whether `check_tables` has looked at the table as it is now."""
    return not table.is_inference() and _right.get(table) == (name, table._version)


def check_tables(reads: Tensor | None, mixes: Tensor | None, once: bool = False) -> None:
    """The kernels trust the tables of `directional_scan`: a token that is not there would be a crash.

    Stand-ins, with which torch.compile and torch.export trace, hold no numbers and are let through.

    Args:
        once: let through what was found right and not changed in place since, as a GPU's numbers must be
            waited for; and what cannot be waited for: while a CUDA graph is captured, in torch.func, in a
            trace. (Not for what compiled code calls: it puts other numbers into a tensor, and none is told.)

    Raises:
        ValueError: a row of reads is not a permutation of the tokens, or mixes has other numbers than tokens
            and -1.
    """
    if torch.compiler.is_compiling():
        return
    for name, table, least in (("reads", reads, 0), ("mixes", mixes, -1)):
        if table is None or table.numel() == 0 or table.is_meta or type(table) is not Tensor:
            continue
        waits = torch.jit.is_tracing() or torch._C._functorch.is_functorch_wrapped_tensor(table)
        waits = waits or (table.is_cuda and torch.cuda.is_current_stream_capturing())
        if once and (waits or found_right(table, name)):
            continue
        low, high = torch.aminmax(table)
        if low < least or high >= table.shape[1]:
            found, last = f"{int(low)} to {int(high)}", table.shape[1] - 1
            raise ValueError(f"directional_scan: {name} holds {found}, expected {least} to {last}")
        if name == "reads":
            seen = torch.zeros(reads.shape, dtype=torch.bool, device=reads.device)
            if not seen.scatter_(1, reads.long(), True).all():
                raise ValueError("directional_scan: a row of reads is not a permutation of the tokens")
        if once and not table.is_inference():
            _right[table] = name, table._version
