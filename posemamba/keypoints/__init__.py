"""2D keypoints as detectors write them: what betrays those that a lifting network would misread."""

from posemamba.keypoints.inspection import Finding, inspect

__all__ = ["Finding", "inspect"]
