"""2D keypoints: what detectors write, read as people of 17 joints, and what betrays a wrong order or unit."""

from posemamba.keypoints.inspection import Finding, inspect
from posemamba.keypoints.people import Detections, Person, read

__all__ = ["Detections", "Finding", "Person", "inspect", "read"]
