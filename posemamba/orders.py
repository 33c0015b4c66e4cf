"""How a body over time becomes sequences: a direction is a mix of readings of the tokens, then a permutation.

Token (t, j) of the grid of T frames by J joints stands at place t * J + j ("row-major"). Every strategy
reads the grid along K = 4 directions; the released weights hold them in the order of the tuples below.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from posemamba.skeleton import JOINTS, LIMB_ORDER

Places = Int[Tensor, "tokens"]


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


@dataclass(frozen=True)
class Direction:
    """One way to read the tokens.

    Attributes:
        name: for people.
        permutation: (frames, joints) -> the token read at each place of the sequence.
        mix: None, or for each joint the joint of the same frame whose token is added to its own. The sum is
            still counted as the first joint's.
    """

    name: str
    permutation: Callable[[int, int], Places]
    mix: tuple[int, ...] | None = None


def _twice(*directions: Direction) -> tuple[Direction, ...]:
    return directions * 2


_SPATIAL = {
    "forward": Direction("spatial forward", spatial_forward),
    "backward": Direction("spatial backward", spatial_backward),
}
_TEMPORAL = {
    "forward": Direction("temporal forward", temporal_forward),
    "backward": Direction("temporal backward", temporal_backward),
}


def _both_ways(mix: tuple[int, ...] | None = None, what: str = "") -> tuple[Direction, ...]:
    """Both readings and their reversals; `mix` enters the spatial ones."""
    return (
        Direction(f"spatial forward{what}", spatial_forward, mix),
        Direction("temporal forward", temporal_forward),
        Direction(f"spatial reversed{what}", spatial_reversed, mix),
        Direction("temporal reversed", temporal_reversed),
    )


#: The six strategies of Table 4. In the four unidirectional ones two directions are each used twice.
STRATEGIES: dict[str, tuple[Direction, ...]] = {
    "global-local": _both_ways(LIMB_ORDER, ", limbs mixed in"),
    "bidirectional": _both_ways(),
    **{f"{s}-{t}": _twice(_SPATIAL[s], _TEMPORAL[t]) for s in _SPATIAL for t in _TEMPORAL},
}


def random_mix(seed: int) -> tuple[int, ...]:
    """Seventeen joints drawn with replacement: as long as the limb order, and without its meaning."""
    return tuple(int(joint) for joint in np.random.default_rng(seed).integers(JOINTS, size=JOINTS))


#: What "global-local" is to be compared with, and the paper does not: the same sum with the joint itself, and
#: with joints drawn at random (eight draws).
CONTROLS: dict[str, tuple[Direction, ...]] = {
    "global-self": _both_ways(tuple(range(JOINTS)), ", added to themselves"),
    **{f"global-random-{k}": _both_ways(random_mix(k), ", random joints mixed in") for k in range(8)},
}

GRADIENTS = ("exact", "released")


def directions(strategy: str) -> tuple[Direction, ...]:
    """The four directions of a strategy, one of `STRATEGIES` or of `CONTROLS`.

    Raises:
        ValueError: the strategy is neither.
    """
    if strategy in CONTROLS:
        return CONTROLS[strategy]
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown scan strategy {strategy!r}, expected one of {', '.join(STRATEGIES)}")
    return STRATEGIES[strategy]


_made: dict[tuple, tuple] = {}


def _kept(make, *arguments) -> tuple:
    """make(*arguments), made once. Of tensors, only such as any later call can use are kept: not those of
    inference mode, nor the stand-ins that torch.export traces with.
    """
    key = make, *arguments
    if key not in _made:
        with torch.inference_mode(False):
            made = make(*arguments)
        if any(isinstance(value, Tensor) and type(value) is not Tensor for value in made):
            return made
        while len(_made) >= 64:
            _made.pop(next(iter(_made)))
        _made[key] = made
    return _made[key]


@torch.compiler.assume_constant_result  # so that torch.compile keeps the tables and not the way to them
def tables(
    strategy: str, frames: int, joints: int, device: torch.device | None = None
) -> tuple[Int[Tensor, "directions tokens"], Int[Tensor, "directions tokens"]]:
    """What each direction of a strategy reads: the token at each place, and the token mixed into it or -1.

    Raises:
        ValueError: an unknown strategy, or one whose mix names other joints than there are.
    """
    return _kept(_tables, strategy, frames, joints, device)


def _tables(strategy: str, frames: int, joints: int, device: torch.device | None) -> tuple[Tensor, Tensor]:
    reads, mixes = [], []
    for direction in directions(strategy):
        read = direction.permutation(frames, joints)
        mixed = torch.full_like(read, -1)
        if direction.mix is not None:
            if len(direction.mix) != joints:
                raise ValueError(
                    f"scan strategy {strategy!r} mixes {len(direction.mix)} joints, the tokens have {joints}"
                )
            mixed = read - read % joints + torch.tensor(direction.mix)[read % joints]
        reads.append(read)
        mixes.append(mixed)
    return tuple(torch.stack(rows).to(device=device, dtype=torch.int32) for rows in (reads, mixes))


@torch.compiler.assume_constant_result
def mixing(
    strategy: str, device: torch.device | None = None
) -> tuple[tuple[bool, ...], Int[Tensor, "joints"] | None]:
    """Which directions of a strategy mix, and the joint that is mixed into each joint; None if none does."""
    return _kept(_mixing, strategy, device)


def _mixing(strategy: str, device: torch.device | None) -> tuple[tuple[bool, ...], Tensor | None]:
    mixes = [direction.mix for direction in directions(strategy)]
    given = next((mix for mix in mixes if mix is not None), None)
    which = tuple(mix is not None for mix in mixes)
    return which, None if given is None else torch.tensor(given, device=device)


def arrange(
    tokens: Float[Tensor, "batch tokens inner"], strategy: str, frames: int, gradient: str = "exact"
) -> Float[Tensor, "batch directions tokens inner"]:
    """The four sequences of a strategy (Figure 3), written out.

    Args:
        tokens: features in row-major token order.
        strategy: a key of `STRATEGIES`.
        frames: how many frames the tokens make up.
        gradient: "exact", or "released": the released code's backward pass, in which nothing flows back
            through the joints that were mixed in. It changes training, not the output.
    """
    check_gradient(gradient)
    if tokens.shape[1] % frames:
        raise ValueError(f"{tokens.shape[1]} tokens do not make up {frames} frames")
    reads, mixes = tables(strategy, frames, tokens.shape[1] // frames, tokens.device)
    mixed_in = tokens if gradient == "exact" else tokens.detach()
    mixed = mixed_in[:, mixes.clamp(min=0).long()] * (mixes >= 0)[..., None]
    return tokens[:, reads.long()] + mixed


def merge(
    sequences: Float[Tensor, "batch directions tokens inner"], strategy: str, frames: int
) -> Float[Tensor, "batch tokens inner"]:
    """Put each direction's outputs back in their tokens' places, and sum the directions."""
    reads, _ = tables(strategy, frames, sequences.shape[2] // frames, sequences.device)
    total = sequences.new_zeros(sequences.shape[0], *sequences.shape[2:])
    for k, read in enumerate(reads.long()):
        total = total.index_add(1, read, sequences[:, k])
    return total


def check_gradient(gradient: str) -> None:
    """Raises ValueError unless the gradient is "exact" or "released"."""
    if gradient not in GRADIENTS:
        raise ValueError(f"unknown gradient {gradient!r}, expected 'exact' or 'released'")
