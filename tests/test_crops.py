"""The person's own view undoes where in the image they stand, and how large."""

import math

import pytest
import torch

from posemamba.camera import Camera
from posemamba.crops import person_view


def turn_of(axis: int, angle: float) -> torch.Tensor:
    """A rotation matrix by torch's matrix exponential."""
    skew = torch.zeros(3, 3, dtype=torch.float64)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    skew[i, j], skew[j, i] = -angle, angle
    return torch.linalg.matrix_exp(skew)


def see(points: torch.Tensor, focal: float, center=(500.0, 400.0)) -> torch.Tensor:
    return focal * points[..., :2] / points[..., 2:] + torch.tensor(center, dtype=points.dtype)


def body(frames: int = 5) -> torch.Tensor:
    """A walk in a camera's frame, mm, `(frames, 17, 3)`."""
    pose = torch.randn(17, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 300
    path = torch.linspace(-200, 200, frames, dtype=torch.float64)[:, None, None]
    return pose + path * torch.tensor([1.0, 0.1, 0.3]) + torch.tensor([0.0, 0.0, 4000.0])


def test_it_does_not_matter_where_the_camera_points_nor_how_long_its_lens_is():
    points = body()
    straight = person_view(see(points, 1000.0), 1000.0, (500.0, 400.0))
    for axis, angle, focal in ((0, 0.3, 700.0), (1, -0.5, 1500.0), (1, 0.4, 2500.0)):
        turn = turn_of(axis, angle)
        aside = person_view(see(points @ turn.T, focal), focal, (500.0, 400.0))
        # Turned to the person it differs from the straight camera by a roll at most.
        roll = straight.rotation.inverse() @ aside.rotation @ turn
        assert torch.allclose(aside.spread, straight.spread, rtol=1e-9)
        in_view, expected = aside.turn(points @ turn.T), straight.turn(points)
        angles = torch.atan2(roll[1, 0], roll[0, 0])
        assert abs(angles) < math.radians(2) and torch.allclose(in_view, expected, atol=40)
        flat = in_view[..., :2] / in_view[..., 2:] / aside.spread
        assert torch.allclose(aside.inputs, flat, atol=1e-9), "the inputs are what the virtual camera sees"


def test_the_person_is_in_the_middle_and_of_one_size():
    seen = person_view(see(body(), 1000.0) * 0.7 + 40, 700.0, (390.0, 320.0))
    middle = seen.inputs.mean(-2).median(-2).values
    assert middle.norm() < 0.1
    spread = (seen.inputs - seen.inputs.mean(-2, keepdim=True)).square().sum(-1).mean().sqrt()
    assert torch.allclose(spread, torch.ones_like(spread))


def test_turning_back_inverts_turning():
    points = body()[None].repeat(3, 1, 1, 1) + torch.randn(3, 1, 1, 3, dtype=torch.float64) * 500
    seen = person_view(see(points, 900.0), torch.tensor([900.0, 800.0, 1000.0]), (500.0, 400.0))
    assert seen.inputs.shape == (3, 5, 17, 2) and seen.rotation.shape == (3, 3, 3)
    assert torch.allclose(seen.turn_back(seen.turn(points)), points)
    eye = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    assert torch.allclose(seen.rotation @ seen.rotation.mT, eye)
    assert torch.allclose(torch.linalg.det(seen.rotation), torch.ones(3, dtype=torch.float64))


def test_a_camera_of_the_package_sees_what_the_view_says():
    camera = Camera.look_at(torch.tensor([0.0, -4000.0, 1500.0]), torch.tensor([500.0, 0.0, 900.0]), 1100.0)
    world = body().float() - torch.tensor([0.0, 0.0, 4000.0]) + torch.tensor([0.0, 0.0, 900.0])
    points = camera.world_to_camera(world)
    seen = person_view(camera.project(points), camera.focal[0], camera.center)
    turned = seen.turn(points)
    assert torch.allclose(seen.inputs * seen.spread, turned[..., :2] / turned[..., 2:], atol=1e-4)
    middle = torch.nn.functional.normalize(points, dim=-1).mean(-2).median(-2).values
    assert turned.mean((0, 1))[2] > 0 and (seen.rotation @ middle)[:2].norm() < 1e-5


def test_what_is_no_body_is_refused():
    with pytest.raises(ValueError, match="focal length is 0 pixels"):
        person_view(torch.rand(4, 17, 2), 0.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="all lie in one point"):
        person_view(torch.ones(4, 17, 2), 1.0, (0.0, 0.0))
