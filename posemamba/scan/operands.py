"""What a scan works on below its front doors, in one form for every backend and for the operator of torch."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class Operands:
    """Tokens along K directions (or groups of channels), and the state space that each is scanned by.

    Shapes: b batch, K directions or groups, inner channels, N states, L tokens. Direction k reads at place i
    of its sequence token reads[k, i], plus token mixes[k, i] where that is not -1. Delta, B, C and the output
    are in token order, and the directions of one source are summed. Dtypes may differ, strides be any.

    Attributes:
        x: (b, sources, L, inner), where sources is 1 (all directions read the same tokens) or K.
        delta: (b, K, L, inner), the step before bias and softplus, or (b, K, L, R) of low rank.
        A: (K, inner, N).
        B, C: (b, K, L, N), shared by the channels of a direction; a single 1 where the caller's was constant.
        D, bias: (K, inner) or None.
        initial: (b, K, inner, N) or None, the state before the first token.
        B_scale, C_scale: (K, inner, N), constant factors of B and C for each channel; both or neither.
        projection: (K, inner, R), makes a low-rank delta whole, or None.
        reads, mixes: (K, L) whole numbers, or None for tokens as they come and nothing mixed in.
        softplus: whether the step goes through one.
        through_mix: whether mixed-in tokens receive a gradient (the released code gives them none).
    """

    x: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    bias: Tensor | None = None
    initial: Tensor | None = None
    B_scale: Tensor | None = None
    C_scale: Tensor | None = None
    projection: Tensor | None = None
    reads: Tensor | None = None
    mixes: Tensor | None = None
    softplus: bool = False
    through_mix: bool = True

    @property
    def flat(self) -> list:
        """All fields in their order; the first REAL of them have gradients."""
        return [getattr(self, name) for name in FIELDS]

    @property
    def real(self) -> list[Tensor | None]:
        return self.flat[:REAL]

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """(batch, sources, L, inner, K, N)."""
        return *self.x.shape, self.A.shape[0], self.A.shape[2]

    @property
    def wide(self) -> torch.dtype:
        """What to compute in: float32 at least, as a state cannot live in 8 bits of mantissa."""
        wide = torch.promote_types(torch.promote_types(self.x.dtype, self.delta.dtype), self.A.dtype)
        return torch.promote_types(wide, torch.float32)

    def ordered(self) -> "Operands":
        """The sequences written out: a source for each direction, no tables, a whole step."""
        (_, sources, _, _, K, _), x, delta = self.sizes, self.x, self.delta
        if self.projection is not None:
            delta = delta @ self.projection.to(delta.dtype).mT
        if sources < K:
            x = x.repeat_interleave(K // sources, 1)
        values, mixed = [x, delta, self.B, self.C], x if self.through_mix else x.detach()
        if self.reads is not None:
            values = [torch.take_along_dim(v, self.reads.long()[None, ..., None], 2) for v in values]
        if self.mixes is not None:
            mixed = torch.take_along_dim(mixed, self.mixes.long().clamp(min=0)[None, ..., None], 2)
            values[0] = values[0] + mixed * (self.mixes >= 0)[..., None]
        changes = dict(zip(("x", "delta", "B", "C"), values, strict=True))
        return replace(self, **changes, projection=None, reads=None, mixes=None)

    def widened(self) -> "Operands":
        """The same with every tensor in the computing dtype, and the step, which must be whole, finished."""
        o = Operands(*(v.to(self.wide) if isinstance(v, Tensor) else v for v in self.flat))
        step = o.delta if o.bias is None else o.delta + o.bias[:, None]
        return replace(o, delta=torch.nn.functional.softplus(step) if o.softplus else step, bias=None)

    def merged(self, y: Tensor) -> Tensor:
        """(b, sources, L, inner): outputs (b, K, L, inner) of `ordered` back in token order, and summed."""
        if self.reads is not None:
            y = torch.take_along_dim(y, self.reads.argsort(1)[None, ..., None], 2)
        return y if self.x.shape[1] == y.shape[1] else y.unflatten(1, (self.x.shape[1], -1)).sum(2)


FIELDS = tuple(field.name for field in fields(Operands))
REAL = FIELDS.index("reads")
#: The fields as arguments of an operator, in the words of torch's schemas.
_KINDS = {Tensor: "Tensor", Tensor | None: "Tensor?", bool: "bool"}
SCHEMA = ", ".join(f"{_KINDS[field.type]} {field.name}" for field in fields(Operands))
