"""Motion made from joint angles: bodies of different proportions that walk, jog, turn, sit, wave, reach and
jump.

Footsteps are planned first, so that planted feet cannot slide; legs follow by inverse kinematics; joint
angles stay within human limits (`bodies.LIMITS`); forward kinematics gives the joints. No recorded data is
used.
"""

from posemamba.motion.synthetic.generator import ACTIONS, perform, synthetic_clips

__all__ = ["ACTIONS", "perform", "synthetic_clips"]
