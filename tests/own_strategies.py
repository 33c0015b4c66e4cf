"""Strategies of a reader's own: three and six directions, several mixes, and a path of their own."""

import torch

from posemamba.orders import Direction, both_ways, reading, register
from posemamba.skeleton import FLIP_ORDER, LIMB_ORDER


def snake(frames: int, joints: int) -> torch.Tensor:
    """Up one frame and down the next."""
    odd = torch.arange(frames)[:, None] % 2
    joint = torch.arange(joints)
    return (torch.arange(frames)[:, None] * joints + torch.where(odd == 1, joint.flip(0), joint)).flatten()


OWN = {
    "own three": (
        reading("spatial", "forward", LIMB_ORDER, ", limbs mixed in"),
        reading("temporal", "backward", FLIP_ORDER, ", the other side mixed in"),
        Direction("a snake", snake),
    ),
    "own six": (
        *both_ways(),
        reading("temporal", "forward", LIMB_ORDER, ", limbs mixed in"),
        reading("temporal", "forward", FLIP_ORDER, ", the other side mixed in"),
    ),
}
for name, strategy in OWN.items():
    register(name, strategy)
