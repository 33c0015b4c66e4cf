import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posemamba.camera import Camera, denormalise_screen, normalise_screen

# The size of Human3.6M's coefficients (its lenses bend the image's corner by some ten pixels).
RADIAL, TANGENTIAL = [-0.2, 0.24, -0.002], [-0.0009, -0.0014]


def distorted(dtype=torch.float64) -> Camera:
    """One camera with a lens like Human3.6M's, turned off every axis."""
    camera = Camera.look_at(
        torch.tensor([2000.0, -4500.0, 1500.0], dtype=dtype),
        torch.tensor([100.0, 50.0, 900.0], dtype=dtype),
        focal=1145.0,
        width=1000,
        height=1002,
    )
    center = torch.tensor([512.5, 515.4], dtype=dtype)
    lens = {"radial": torch.tensor(RADIAL, dtype=dtype), "tangential": torch.tensor(TANGENTIAL, dtype=dtype)}
    return Camera(camera.rotation, camera.translation, camera.focal, center, **lens, width=1000, height=1002)


def by_hand(point, camera: Camera):
    """Human3.6M's projection of one point, written out in plain numbers."""
    x, y = point[0] / point[2], point[1] / point[2]
    k, p = RADIAL, TANGENTIAL
    r2 = x**2 + y**2
    radial = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3
    tangential = p[0] * y + p[1] * x
    u, v = x * (radial + tangential) + p[1] * r2, y * (radial + tangential) + p[0] * r2
    return [
        camera.focal[0].item() * u + camera.center[0].item(),
        camera.focal[1].item() * v + camera.center[1].item(),
    ]


def test_projection_is_human36m_s():
    camera, generator = distorted(), torch.Generator().manual_seed(0)
    points = torch.rand(200, 3, dtype=torch.float64, generator=generator) * torch.tensor(
        [3000.0, 3000.0, 3000.0]
    )
    points = points + torch.tensor([-1500.0, -1500.0, 3500.0])
    expected = torch.tensor([by_hand(point, camera) for point in points.tolist()], dtype=torch.float64)
    torch.testing.assert_close(camera.project(points), expected, rtol=0, atol=1e-9)
    # The lens does something, so the comparison above is not between two pinholes.
    pinhole = Camera(camera.rotation, camera.translation, camera.focal, camera.center)
    assert (pinhole.project(points) - expected).norm(dim=-1).max() > 5


def test_the_lens_stays_within_a_pixel_of_opencv_s_form():
    camera = distorted()
    pixels = torch.cartesian_prod(torch.linspace(0, 1000, 21), torch.linspace(0, 1002, 21)).double()
    plane = camera.unproject(pixels, torch.ones(len(pixels), dtype=torch.float64))[:, :2]
    x, y = plane.unbind(-1)
    missing = torch.stack([x, y], -1) * (TANGENTIAL[0] * y + TANGENTIAL[1] * x)[:, None]
    assert (1145 * missing).norm(dim=-1).max() < 1


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-3), (torch.float64, 1e-9)])
def test_unproject_inverts_project_over_the_whole_image(dtype, limit):
    camera = distorted(dtype)
    pixels = torch.cartesian_prod(torch.linspace(0, 1000, 41), torch.linspace(0, 1002, 41)).to(dtype)
    depth = torch.linspace(2000, 9000, len(pixels), dtype=dtype)
    points = camera.unproject(pixels, depth)
    torch.testing.assert_close(points[:, 2], depth)
    assert (camera.project(points) - pixels).norm(dim=-1).max() < limit


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31), st.lists(st.integers(1, 3), max_size=2), st.lists(st.integers(1, 3), max_size=2)
)
def test_world_camera_round_trip_any_shapes(seed, batch, middle):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    camera = Camera.look_at(5000 * draw(*batch, 3), 100 * draw(*batch, 3), focal=1145.0)
    points = 1000 * draw(*batch, *middle, 3)
    seen = camera.world_to_camera(points)
    assert seen.shape == points.shape
    torch.testing.assert_close(camera.camera_to_world(seen), points)
    # A rigid motion: distances from the camera's position are kept, and it sits at the origin of its frame.
    position = camera.position.reshape(*batch, *(1,) * len(middle), 3)
    torch.testing.assert_close(seen.norm(dim=-1), (points - position).norm(dim=-1))
    if batch:
        first = (0,) * len(batch)
        one = camera[first]
        assert one.batch_shape == ()
        torch.testing.assert_close(one.world_to_camera(points[first]), seen[first])


def test_look_at_keeps_the_world_upright():
    camera = Camera.look_at(
        torch.tensor([0.0, -5000.0, 1500.0]), torch.tensor([0.0, 0.0, 900.0]), focal=1145.0
    )
    see = lambda *point: camera.project(camera.world_to_camera(torch.tensor(point)))  # noqa: E731
    torch.testing.assert_close(see(0.0, 0.0, 900.0), torch.tensor([500.0, 500.0]), rtol=0, atol=1e-3)
    assert see(0.0, 0.0, 1700.0)[1] < 400, "higher in the world is higher in the image, where y points down"
    assert see(500.0, 0.0, 900.0)[0] > 600, "looking along world y, world x is to the right"
    torch.testing.assert_close(see(0.0, 0.0, 1700.0)[0], torch.tensor(500.0), rtol=0, atol=1e-3)
    torch.testing.assert_close(camera.position, torch.tensor([0.0, -5000.0, 1500.0]), rtol=0, atol=1e-2)
    assert math.isclose(torch.linalg.det(camera.rotation).item(), 1, abs_tol=1e-5)


def test_a_point_behind_the_camera_has_no_image_and_spoils_no_gradient():
    camera = distorted()
    points = torch.tensor([[0.0, 0.0, 3000.0], [10.0, 10.0, -3000.0], [5.0, 5.0, 0.0]], dtype=torch.float64)
    points.requires_grad_()
    pixels = camera.project(points)
    assert pixels.isnan().tolist() == [[False, False], [True, True], [True, True]]
    pixels[0].sum().backward()
    assert points.grad.isfinite().all() and points.grad[0].abs().sum() > 0


def test_gradients_of_a_distorted_projection():
    camera = distorted()
    points = torch.tensor([[300.0, -200.0, 4000.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(camera.project, (points,))


def test_stack_and_index_are_inverse():
    cameras = [distorted(), distorted()]
    both = Camera.stack(cameras)
    assert both.batch_shape == (2,) and torch.equal(both[1].radial, cameras[1].radial)
    assert both[1].height == 1002 and both.to(torch.float32).focal.dtype == torch.float32
    with pytest.raises(ValueError, match="at least one and share one image size"):
        Camera.stack([])
    with pytest.raises(IndexError, match="one camera"):
        cameras[0][0]


def test_wrong_shapes_are_refused_in_one_sentence():
    camera = Camera.stack([distorted(), distorted()])
    with pytest.raises(ValueError, match=r"points has shape \(3, 17, 3\), expected \(2, \.\.\., 3\)"):
        camera.world_to_camera(torch.zeros(3, 17, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"points has shape \(2, 17, 2\)"):
        camera.project(torch.zeros(2, 17, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="one depth a pixel"):
        camera.unproject(torch.zeros(2, 17, 2, dtype=torch.float64), torch.zeros(2, 16, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"camera's focal has shape \(3,\), expected \(2,\)"):
        Camera(torch.eye(3), torch.zeros(3), torch.ones(3), torch.zeros(2))
    with pytest.raises(ValueError, match="straight above"):
        Camera.look_at(torch.tensor([0.0, 0.0, 9.0]), torch.zeros(3), focal=1.0)


@settings(deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000))
def test_screen_normalisation(width, height):
    corners = torch.tensor([[0.0, 0.0], [width, height], [width / 2, height / 2]], dtype=torch.float64)
    points = normalise_screen(corners, width, height)
    ratio = height / width
    expected = torch.tensor([[-1.0, -ratio], [1.0, ratio], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(points, expected)
    torch.testing.assert_close(denormalise_screen(points, width, height), corners)
    as_array = normalise_screen(corners.numpy(), width, height)
    assert isinstance(as_array, np.ndarray) and np.array_equal(as_array, points.numpy())


def test_screen_functions_refuse_other_shapes():
    with pytest.raises(ValueError, match=r"pixels has shape \(17, 3\), expected \(\.\.\., 2\)"):
        normalise_screen(torch.zeros(17, 3), 1000, 1000)
    with pytest.raises(ValueError, match="0 x 10 pixels"):
        denormalise_screen(torch.zeros(17, 2), 0, 10)
