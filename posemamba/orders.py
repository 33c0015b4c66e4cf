"""How a body over time becomes sequences: a direction is a mix of readings of the tokens, then a permutation.

Token (t, j) of the grid of T frames by J joints stands at place t * J + j ("row-major"). A strategy is a
tuple of directions, of any number; those of Table 4 have K = 4, and the released weights hold them in the
order of the tuples below. `register` adds a strategy to those that a network's settings can name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import chain, product

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.skeleton import JOINTS, LIMB_ORDER

Places = Int[Tensor, "tokens"]
Reach = Int[np.ndarray, "tokens tokens"]


def _grid(frames: int, joints: int) -> Int[Tensor, "frames joints"]:
    return torch.arange(frames * joints).view(frames, joints)


def spatial_forward(frames: int, joints: int) -> Places:
    """Frame after frame, the joints in order inside each frame."""
    return _grid(frames, joints).flatten()


def temporal_forward(frames: int, joints: int) -> Places:
    """Joint after joint, the frames in order inside each joint."""
    return _grid(frames, joints).T.flatten()


def spatial_reversed(frames: int, joints: int) -> Places:
    """The whole of `spatial_forward` from its end: last frame first, last joint first."""
    return spatial_forward(frames, joints).flip(0)


def temporal_reversed(frames: int, joints: int) -> Places:
    """The whole of `temporal_forward` from its end."""
    return temporal_forward(frames, joints).flip(0)


def spatial_backward(frames: int, joints: int) -> Places:
    """The joints reversed inside each frame, the frames still in order (Figure 4's "backward spatial")."""
    return _grid(frames, joints).flip(1).flatten()


def temporal_backward(frames: int, joints: int) -> Places:
    """The frames reversed inside each joint, the joints still in order (Figure 4's "backward temporal")."""
    return _grid(frames, joints).flip(0).T.flatten()


_SPATIAL = (spatial_forward, spatial_backward, spatial_reversed)
_TEMPORAL = (temporal_forward, temporal_backward, temporal_reversed)
#: (axis, way) -> the permutation of that name.
PATHS = {tuple(path.__name__.split("_")): path for path in (*_SPATIAL, *_TEMPORAL)}
_AXES = {"spatial": "S", "temporal": "T", "": ""}
_WAYS = {"forward": "→", "backward": "←", "reversed": "↩", "": ""}


@dataclass(frozen=True)
class Direction:
    """One way to read the tokens.

    Attributes:
        name: for people; nothing is read from it.
        permutation: (frames, joints) -> the token read at each place, each token once. Made of torch's
            operations it also serves a network that is compiled for any number of frames.
        mix: None, or for each joint the joint of the same frame whose token is added to its own. The sum is
            still counted as the first joint's.
        axis: "spatial" where one joint follows the other, "temporal" where one frame does; "" for neither.
        way: "forward", "backward" (inside each frame or joint), "reversed" (the whole from its end), or "".

    Raises:
        ValueError: a mix that names no joint, another axis or way.
    """

    name: str
    permutation: Callable[[int, int], Places]
    mix: tuple[int, ...] | None = None
    axis: str = ""
    way: str = ""

    def __post_init__(self):
        if self.mix is not None and not all(0 <= joint < len(self.mix) for joint in self.mix):
            wanted = f"joints 0 to {len(self.mix) - 1}"
            raise ValueError(f"direction {self.name!r} mixes {self.mix}, expected {wanted}")
        for what, value, known in (("axis", self.axis, _AXES), ("way", self.way, _WAYS)):
            if value not in known:
                found = f"has the {what} {value!r}"
                raise ValueError(f"direction {self.name!r} {found}, expected one of {[*known]}")

    def __hash__(self) -> int:
        return hash((self.name, self.permutation))

    @property
    def mark(self) -> str:
        """Two signs for a narrow box: S or T, then an arrow; a hooked one reads the whole backwards."""
        return (_AXES[self.axis] or self.name[:1].upper()) + _WAYS[self.way]


Strategy = str | Sequence[Direction]  # its name, or its directions


def reading(axis: str, way: str, mix: tuple[int, ...] | None = None, told: str = "") -> Direction:
    """One of the six ways of `PATHS`; `told` says in its name what is mixed in."""
    return Direction(f"{axis} {way}{told}", PATHS[axis, way], mix, axis, way)


def both_ways(mix: tuple[int, ...] | None = None, told: str = "") -> tuple[Direction, ...]:
    """Both readings and their reversals; `mix` enters the spatial ones."""
    ways = ("forward", "reversed")
    pairs = ((reading("spatial", way, mix, told), reading("temporal", way)) for way in ways)
    return tuple(chain.from_iterable(pairs))


_ONE_WAY = [*product(("forward", "backward"), repeat=2)]

#: The six strategies of Table 4. In the four unidirectional ones two directions are each used twice.
STRATEGIES: dict[str, tuple[Direction, ...]] = {
    "global-local": both_ways(LIMB_ORDER, ", limbs mixed in"),
    "bidirectional": both_ways(),
    **{f"{s}-{t}": (reading("spatial", s), reading("temporal", t)) * 2 for s, t in _ONE_WAY},
}

_DRAWN = [tuple(np.random.default_rng(seed).integers(JOINTS, size=JOINTS).tolist()) for seed in range(8)]

#: What "global-local" is to be compared with, and the paper does not: the same sum with the joint itself, and
#: with joints drawn at random, with replacement (eight draws): as many as the limb order has.
CONTROLS: dict[str, tuple[Direction, ...]] = {
    "global-self": both_ways(tuple(range(JOINTS)), ", added to themselves"),
    **{f"global-random-{k}": both_ways(mix, ", random joints mixed in") for k, mix in enumerate(_DRAWN)},
}

GRADIENTS = ("exact", "released")
_registered: dict[str, tuple[Direction, ...]] = {}
_made: dict[tuple, tuple] = {}


def register(name: str, strategy: Sequence[Direction]) -> None:
    """Add a strategy to those that `PoseMambaConfig.scan` can name, in this process.

    A direction that stands in it twice is scanned twice. A name may be given again: networks keep the
    directions that they were made with.

    Raises:
        ValueError: a name of `STRATEGIES` or `CONTROLS`; no directions; mixes of different lengths; a
            direction that does not read each token once.
    """
    if name in STRATEGIES or name in CONTROLS:
        raise ValueError(f"scan strategy {name!r} is the package's own; give yours another name")
    strategy = directions(strategy)
    joints, *others = sorted({len(one.mix) for one in strategy if one.mix is not None} or {JOINTS})
    if others:
        found = f"scan strategy {name!r} mixes {[joints, *others]} joints"
        raise ValueError(f"{found}, expected one number of them")
    for direction, frames in product(strategy, (1, 3)):
        if sorted(direction.permutation(frames, joints).tolist()) != list(range(frames * joints)):
            fault = f"does not read each of {frames * joints} tokens once"
            raise ValueError(f"direction {direction.name!r} {fault}")
    _registered[name] = strategy


def directions(strategy: Strategy) -> tuple[Direction, ...]:
    """The directions of a strategy: of `STRATEGIES`, of `CONTROLS` or registered; or the directions given.

    Raises:
        ValueError: no such strategy, or none.
    """
    if not isinstance(strategy, str):
        found = tuple(strategy) if isinstance(strategy, list | tuple) else ()
        if not found or not all(isinstance(direction, Direction) for direction in found):
            raise ValueError(f"a scan strategy is a tuple of at least one Direction, found {strategy!r}")
        return found
    known = STRATEGIES | _registered
    if strategy not in known | CONTROLS:
        raise ValueError(f"unknown scan strategy {strategy!r}, expected one of {', '.join(known)}")
    return (known | CONTROLS)[strategy]


def _kept(make: Callable[..., tuple]) -> Callable[..., tuple]:
    """What a function makes of a strategy, made once: no tensors that only this mode or trace can use."""

    @wraps(make)
    def kept(strategy: Strategy, *sizes, **named) -> tuple:
        found = directions(strategy)
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return make(found, *sizes, **named)  # the number of frames may stand for any
        key = make, found, *sizes, *named.items()
        if key in _made:
            return _made[key]
        with torch.inference_mode(False):
            made = make(found, *sizes, **named)
        if all(type(value) is Tensor or value is None for value in made):
            while len(_made) >= 64:
                _made.pop(next(iter(_made)))
            _made[key] = made
        return made

    return kept


@_kept
def tables(
    strategy: Strategy, frames: int, joints: int, device: torch.device | None = None
) -> tuple[Int[Tensor, "directions tokens"], Int[Tensor, "directions tokens"]]:
    """What each direction of a strategy reads: the token at each place, and the token mixed into it or -1.

    Raises:
        ValueError: an unknown strategy, or one whose mix names other joints than there are.
    """
    reads, mixes = [], []
    for direction in strategy:
        check_mix(direction, joints)
        read = direction.permutation(frames, joints)
        joint, mix = read % joints, direction.mix
        reads.append(read)
        mixes.append(torch.full_like(read, -1) if mix is None else read - joint + torch.tensor(mix)[joint])
    return tuple(torch.stack(rows).to(device=device, dtype=torch.int32) for rows in (reads, mixes))


@_kept
def mixing(
    strategy: Strategy, device: torch.device | None = None
) -> tuple[Int[Tensor, " joints"] | None, ...]:
    """For each direction of a strategy the joint that is mixed into each joint; None where it mixes none."""
    return tuple(None if one.mix is None else torch.tensor(one.mix, device=device) for one in strategy)


def arrange(
    tokens: Float[Tensor, "batch tokens inner"], strategy: Strategy, frames: int, gradient: str = "exact"
) -> Float[Tensor, "batch directions tokens inner"]:
    """The sequences of a strategy (Figure 3), written out, of tokens in row-major order.

    Args:
        gradient: "exact", or "released": the released code's backward pass, in which nothing flows back
            through the joints that were mixed in. It changes training, not the output.

    Raises:
        ValueError: an unknown strategy or gradient, or tokens that do not make up the frames.
    """
    check_gradient(gradient)
    if tokens.shape[1] % frames:
        raise ValueError(f"{tokens.shape[1]} tokens do not make up {frames} frames")
    reads, mixes = tables(strategy, frames, tokens.shape[1] // frames, tokens.device)
    mixed_in = tokens if gradient == "exact" else tokens.detach()
    mixed = mixed_in[:, mixes.clamp(min=0).long()] * (mixes >= 0)[..., None]
    return tokens[:, reads.long()] + mixed


def merge(
    sequences: Float[Tensor, "batch directions tokens inner"], strategy: Strategy, frames: int
) -> Float[Tensor, "batch tokens inner"]:
    """Put each direction's outputs back in their tokens' places, and sum the directions."""
    reads, _ = tables(strategy, frames, sequences.shape[2] // frames, sequences.device)
    total = torch.zeros_like(sequences[:, 0])
    for k, read in enumerate(reads.long()):
        total = total.index_add(1, read, sequences[:, k])
    return total


def check_mix(direction: Direction, joints: int) -> None:
    """Raises ValueError unless the direction mixes nothing, or as many joints as there are."""
    if direction.mix is not None and len(direction.mix) != joints:
        found = f"direction {direction.name!r} mixes {len(direction.mix)} joints"
        raise ValueError(f"{found}, the tokens have {joints}")


def check_gradient(gradient: str) -> None:
    """Raises ValueError unless the gradient is "exact" or "released"."""
    if gradient not in GRADIENTS:
        raise ValueError(f"unknown gradient {gradient!r}, expected 'exact' or 'released'")


def reach(direction: Direction, frames: int, joints: int = JOINTS) -> Reach:
    """Which tokens a causal scan along one direction lets reach which.

    In a causal scan a token changes its own output and those after it. A mix lets it in earlier still, at
    the places of the tokens that it is added to.

    Returns:
        A row for each token that is reached: 0 where the column's token cannot reach it, 1 where it stands no
        later in the sequence, 2 where only a mix carried it to an earlier place.
    """
    (read,), (mixed,) = (table.numpy() for table in tables((direction,), frames, joints))
    place = np.argsort(read)
    earliest = place.copy()
    if direction.mix is not None:
        np.minimum.at(earliest, mixed, np.arange(len(read)))
    along, anyhow = (start[None, :] <= place[:, None] for start in (place, earliest))
    return (along + 2 * (anyhow & ~along)).astype(np.int8)


def directions_reaching(strategy: Strategy, frames: int, joints: int = JOINTS) -> Reach:
    """Along how many of a strategy's K directions the column's token can reach the row's token; see `reach`.

    The merge sums the directions, so any one of them will do. This is the scan alone: the 3 by 3 convolution
    before it carries each token one joint and frame further.

    Raises:
        ValueError: an unknown strategy, or a number of frames that is none.
    """
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
        raise ValueError(f"frames is {frames!r}, expected a whole number of at least 1.")
    found = [reach(direction, frames, joints) > 0 for direction in directions(strategy)]
    return np.sum(found, axis=0, dtype=np.int8)
