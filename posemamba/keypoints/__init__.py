"""2D keypoints as detectors write them.

`inspect` says what betrays keypoints that a lifting network would misread: pixels, fractions of the image, y
upwards, joints in another order than Human3.6M's.
"""

from posemamba.keypoints.inspection import Finding, inspect

__all__ = ["Finding", "inspect"]
