"""What a scan asks of its arguments, and says in one sentence where it does not get it."""

import torch
from jaxtyping import Float
from torch import Tensor

#: States a channel may have.
MOST_STATES = 256
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
        shape = delta.shape[1:2] if delta.ndim == 3 else delta.shape[1::2]
        if delta.ndim not in (3, 4) or delta_bias.shape != shape:
            raise ValueError(
                f"check_stability: delta_bias has shape {tuple(delta_bias.shape)}, expected one number for "
                f"each channel of delta, which has shape {tuple(delta.shape)}"
            )
        delta = delta + (delta_bias[:, None] if delta.ndim == 3 else delta_bias[:, None, :])
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    found = []
    for name, sign, values, wrong in (
        ("steps", -1, delta.detach(), "negative, the smallest"),
        ("numbers of A", 1, A.detach(), "positive, the largest"),
    ):
        finite = values.isfinite()
        growing = torch.where(finite, values * sign, 0).flatten()
        for what, bad, place in (
            (wrong, growing > 0, lambda growing=growing: growing.argmax()),
            ("not finite, the first", ~finite, lambda finite=finite: (~finite).flatten().nonzero()[0, 0]),
        ):
            if count := int(bad.sum()):
                where = tuple(int(i) for i in torch.unravel_index(place(), values.shape))
                found.append(f"{count} of {values.numel()} {name} are {what} {values[where]:.3g} at {where}")
    if found:
        raise ValueError(f"check_stability: {'; '.join(found)}")


def check_tensors(function: str, first: str, given: dict, optional: tuple[str, ...], tables=()) -> None:
    """What holds for all arguments of a scan: tensors of real numbers on one device, that of the first.

    Args:
        function: whose arguments they are, for the messages.
        first: the name of the argument whose device counts.
        given: the arguments by name.
        optional: names that may be None.
        tables: names whose numbers are whole.

    Raises:
        TypeError, ValueError: an argument is not so.
    """
    for name, value in given.items():
        if value is None and name in optional:
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} must be a tensor, found {type(value).__name__}")
        if value.is_complex():
            raise TypeError(f"{function}: {name} is complex; only real state spaces are supported")
        if name in tables and value.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"{function}: {name} has dtype {value.dtype}, expected int32 or int64")
        if name not in tables and value.dtype not in _DTYPES:
            raise TypeError(f"{function}: {name} has dtype {value.dtype}, expected a floating-point one")
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


def check_tables(reads: Tensor | None, mixes: Tensor | None) -> None:
    """The kernels trust the tables of `directional_scan`: a token that is not there would be a crash.

    Stand-ins, with which torch.compile and torch.export trace, hold no numbers and are let through.

    Raises:
        ValueError: a row of reads is not a permutation of the tokens, or mixes has other numbers than tokens
            and -1.
    """
    if torch.compiler.is_compiling():
        return
    for name, table, least in (("reads", reads, 0), ("mixes", mixes, -1)):
        if table is None or table.numel() == 0 or table.is_meta or type(table) is not Tensor:
            continue
        low, high = torch.aminmax(table)
        if low < least or high >= table.shape[1]:
            found, last = f"{int(low)} to {int(high)}", table.shape[1] - 1
            raise ValueError(f"directional_scan: {name} holds {found}, expected {least} to {last}")
        if name == "reads":
            seen = torch.zeros(reads.shape, dtype=torch.bool, device=reads.device)
            if not seen.scatter_(1, reads.long(), True).all():
                raise ValueError("directional_scan: a row of reads is not a permutation of the tokens")
