"""The map of a selective scan as a matrix.

Once the input has chosen the steps, B and C, a scan is linear in its input: y = M u, for each channel with

    M[i, j] = C_i . exp(A (step_{j+1} + ... + step_i)) step_j B_j   for j < i,
    M[i, i] = C_i . B_i step_i + D,

and 0 for j > i. A direction reads the tokens in an order of its own, and may add another joint's token to
each before it scans: in token order its map is P^T M P (I + G), with P the permutation and G the gather of
what is mixed in. A block's scan is the sum over its directions.

No exponent here is ever positive: tokens i and j that lie on two sides of a middle m are joined as
exp(A (S_i - S_m)) exp(A (S_m - S_j)), with S the running sum of the steps, so that a whole corner of M is one
matrix product over channels and states. The corners are cut smaller and smaller towards the diagonal.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.capture import BlockRecord

_LEAF = 8  # tokens; nearer pairs than these are joined directly
_LEAF_ALONE = 64  # the same for a single channel, which leaves more room
Directions = int | Sequence[int] | None  # which of a block's: one or some; None for all, summed


def token_map(
    record: BlockRecord, direction: Directions = None, aggregate: str = "signed", sample: int = 0
) -> Float[Tensor, "tokens tokens"]:
    """The scan's map over (frame, joint) tokens in row-major order, aggregated over the inner channels.

    Row i says what token i's output takes from each token's input. At T = 243 the map holds 17 million
    numbers; signed, `joint_map` and `frame_map` never make it.

    Args:
        record: of a block, from `PoseMamba.capture`.
        direction: which of them, one or some; None for all, put back in place and summed.
        aggregate: "signed" sums the channels' maps; "absolute" their absolute values, after the directions.
        sample: which of the batch.

    Raises:
        ValueError: no such direction, sample or aggregate.
    """
    return _aggregated(record, direction, aggregate, sample, torch.arange(record.x.shape[1]))


def joint_map(
    record: BlockRecord, direction: Directions = None, aggregate: str = "signed", sample: int = 0
) -> Float[Tensor, "joints joints"]:
    """`token_map` summed over frames: what each joint takes from each joint (Figure 5, left)."""
    _, frames, joints, _ = record.y.shape
    return _aggregated(record, direction, aggregate, sample, torch.arange(joints).repeat(frames))


def frame_map(
    record: BlockRecord, direction: Directions = None, aggregate: str = "signed", sample: int = 0
) -> Float[Tensor, "frames frames"]:
    """`token_map` summed over joints: what each frame takes from each frame (Figure 5, right)."""
    _, frames, joints, _ = record.y.shape
    return _aggregated(record, direction, aggregate, sample, torch.arange(frames).repeat_interleave(joints))


def channel_map(
    record: BlockRecord, channel: int, direction: Directions = None, sample: int = 0
) -> Float[Tensor, "tokens tokens"]:
    """One inner channel's map over tokens: `channel_map(...) @ x[sample, :, channel]` is that channel's y."""
    tokens, inner = record.x.shape[1:]
    if not 0 <= channel < inner:
        raise ValueError(f"channel is {channel}, expected 0 to {inner - 1}")
    chosen = _directions(record, direction, sample)
    return _summed(record, chosen, sample, [channel], torch.arange(tokens))


def normalise(matrix: Float[Tensor, "rows columns"], how: str) -> Float[Tensor, "rows columns"]:
    """A map made ready for display. Signs are kept.

    Args:
        how: "none"; "largest", divided by its largest absolute value; "rows", each row divided by the sum of
            its absolute values; ValueError for another.
    """
    if how not in ("none", "largest", "rows"):
        raise ValueError(f"normalisation is {how!r}, expected 'none', 'largest' or 'rows'")
    if how == "none":
        return matrix
    size = matrix.abs().max() if how == "largest" else matrix.abs().sum(1, keepdim=True)
    return matrix / torch.where(size > 0, size, 1)


def _directions(record: BlockRecord, direction: Directions, sample: int) -> list[int]:
    batch, count = record.steps.shape[:2]
    if not 0 <= sample < batch:
        raise ValueError(f"sample is {sample}, the record holds {batch}")
    chosen = range(count) if direction is None else [direction] if isinstance(direction, int) else direction
    if not len(chosen) or not all(0 <= k < count for k in chosen):
        raise ValueError(f"direction is {direction!r}, expected some of 0 to {count - 1}")
    return list(chosen)


def _aggregated(record: BlockRecord, direction, aggregate: str, sample: int, groups: Tensor) -> Tensor:
    chosen = _directions(record, direction, sample)
    if aggregate not in ("signed", "absolute"):
        raise ValueError(f"aggregate is {aggregate!r}, expected 'signed' or 'absolute'")
    _, tokens, inner = record.x.shape
    if aggregate == "signed":
        return _summed(record, chosen, sample, range(inner), groups)
    # Absolute values can be taken only where nothing is summed any more: a channel at a time, in full.
    total, places = record.A.new_zeros(tokens, tokens), torch.arange(tokens)
    for channel in range(inner):
        total += _summed(record, chosen, sample, [channel], places).abs_()
    count, groups = int(groups.max()) + 1, groups.to(total.device)
    rows = total.new_zeros(count, tokens).index_add_(0, groups, total)
    return total.new_zeros(count, count).index_add_(1, groups, rows)


def _summed(record: BlockRecord, directions, sample: int, channels, groups: Tensor) -> Tensor:
    """The map of some directions and channels, summed over groups of tokens, (groups, groups)."""
    device, count = record.x.device, int(groups.max()) + 1
    groups, channels = groups.to(device), torch.as_tensor(list(channels), device=device)
    out = record.A.new_zeros(count, count)  # in half precision too in float32, as the scan's states are
    for k in directions:
        read, mix = record.reads[k].long(), record.mixes[k].long()
        steps, B, C = (value[sample, k, read] for value in (record.steps, record.B, record.C))
        sequence = _Sequence(steps[:, channels], record.A[k, channels], B, C, record.skip[k, channels])
        # What a place reads came from one token, or from two where another was mixed in.
        columns = [groups[read], torch.where(mix >= 0, groups[mix.clamp(min=0)], -1)]
        sequence.add(out, groups[read], columns if (mix >= 0).any() else columns[:1], 0, len(read))
    return out


class _Sequence:
    """One direction's scan in its own order, cut into blocks of its lower triangular map."""

    def __init__(self, steps, A, B, C, skip):
        self.sums = steps.double().cumsum(0)  # differences of sums of thousands of steps: in double precision
        self.write, self.read = steps[:, :, None] * B[:, None], C[:, None]
        self.A, self.skip, self.leaf = A, skip.sum(), _LEAF_ALONE if len(A) == 1 else _LEAF

    def add(self, out: Tensor, rows: Tensor, columns: list[Tensor], low: int, high: int) -> None:
        """Add a triangle to `out`, tokens' rows and columns to their groups'; -1 is no column's group."""
        if high - low <= self.leaf:
            near = self._near(low, high)
            return _add(out, rows[low:high], [groups[low:high] for groups in columns], near)
        middle = (low + high) // 2
        self.add(out, rows, columns, low, middle)
        self.add(out, rows, columns, middle, high)
        # The corner between the two: out of the tokens before the middle, into those after it.
        between = self.sums[middle - 1]
        into = self._decays(self.sums[middle:high] - between).mul_(self.read[middle:high])
        out_of = self._decays(between - self.sums[low:middle]).mul_(self.write[low:middle])
        row, into = _grouped(rows[middle:high], into.flatten(1))
        for groups in columns:
            column, written = _grouped(groups[low:middle], out_of.flatten(1))
            _add(out, row, [column], into @ written.T)

    def _decays(self, sums: Float[Tensor, "*tokens inner"]) -> Float[Tensor, "*tokens inner state"]:
        return (sums.to(self.A.dtype)[..., None] * self.A).exp_()

    def _near(self, low: int, high: int) -> Float[Tensor, "rows columns"]:
        sums = self.sums[low:high]
        decays = self._decays((sums[:, None] - sums).clamp_(min=0))  # (rows, columns, inner, state)
        near = decays.mul_(self.read[low:high, None]).mul_(self.write[low:high]).sum((2, 3)).tril()
        near.diagonal().add_(self.skip)
        return near


def _grouped(groups: Int[Tensor, " tokens"], values: Tensor) -> tuple[Tensor, Tensor]:
    """The groups that occur, each once, and their sums of the tokens' values."""
    found, place = groups.unique(return_inverse=True)
    if len(found) == len(groups):
        return groups, values
    return found, values.new_zeros(len(found), values.shape[1]).index_add_(0, place, values)


def _add(out: Tensor, rows: Tensor, columns: list[Tensor], block: Float[Tensor, "rows columns"]) -> None:
    """Add a block to rows and columns of `out`, which may occur more than once; columns of -1 are left."""
    for groups in columns:
        some, found = block[:, groups >= 0], groups[groups >= 0]
        place = (rows[:, None] * out.shape[1] + found).flatten()
        out.view(-1).index_add_(0, place, some.flatten())
