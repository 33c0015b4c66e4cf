"""Motion made from joint angles, without recorded data: bodies of different proportions in seven actions.

Footsteps are planned first, so that planted feet cannot slide; legs follow by inverse kinematics; joint
angles stay within human limits; forward kinematics gives the joints.
"""

from posemamba.motion.synthetic.generator import ACTIONS, perform, synthetic_clips

__all__ = ["ACTIONS", "perform", "synthetic_clips"]
