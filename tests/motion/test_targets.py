import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from posemamba.camera import Camera
from posemamba.motion import synthetic_clips
from posemamba.motion.targets import (
    denormalise_image,
    from_image,
    normalise_image,
    root_relative,
    to_image,
    to_millimetres,
    with_root,
)


def cameras(count: int = 2) -> Camera:
    """Cameras around the origin with lenses like Human3.6M's."""
    azimuth = torch.arange(count, dtype=torch.float64) * 2.1 + 0.3
    position = torch.stack([5200 * azimuth.cos(), 5200 * azimuth.sin(), 1500 + 0 * azimuth], dim=-1)
    plain = Camera.look_at(position, torch.tensor([[0.0, 0, 900.0]]).double().expand(count, 3), 1145.0)
    lens = {
        "radial": torch.tensor([-0.2, 0.24, -0.002]).double().expand(count, 3),
        "tangential": torch.tensor([-0.0009, -0.0014]).double().expand(count, 2),
    }
    return Camera(plain.rotation, plain.translation, plain.focal, plain.center + 12.5, **lens, height=1002)


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    """Poses in the frames of two cameras: (2, frames, 17, 3), mm."""
    world = torch.as_tensor(
        np.array(synthetic_clips(3, train=1, test=0, seconds=4.0)[0].joints[:240:4])
    ).double()
    world = world - world[:, :1] * torch.tensor([1.0, 1.0, 0.0]).double()
    return cameras().world_to_camera(world.expand(2, *world.shape))


@pytest.mark.parametrize("scale", ["fitted", "box"])
def test_25d_comes_back_to_round_off(points, scale):
    image, factor = to_image(points, cameras(), scale)
    back = from_image(image, factor, cameras(), scale)
    assert image.shape == points.shape and factor.shape == points.shape[:2]
    assert (back - points).abs().max() < 1e-10


def test_one_joint_by_hand():
    # Root 4 m away: the box's 2000 mm are 500 pixels, and one more is counted: 501 / 2000 pixels a mm.
    camera = Camera(
        torch.eye(3), torch.zeros(3), torch.tensor([1000.0, 1100.0]), torch.tensor([500.0, 510.0])
    )
    pose = torch.tensor([[[400.0, 200.0, 4000.0], [0.0, -500.0, 4400.0]]])
    image, factor = to_image(pose, camera, scale="box")
    wanted = torch.tensor([[[600.0, 565.0, 0.0], [500.0, 385.0, 400 * 501 / 2000]]])
    torch.testing.assert_close(image, wanted)
    torch.testing.assert_close(factor, torch.tensor([2000 / 501]))
    # From the root: (-100, -180, 100.2) pixels for (-400, -700, 400) mm.
    fitted = (100 * 400 + 180 * 700 + 100.2 * 400) / (100**2 + 180**2 + 100.2**2)
    torch.testing.assert_close(to_image(pose, camera)[1], torch.tensor([fitted]))


def test_no_other_factor_is_nearer(points):
    image, factor = to_image(points, cameras())
    gap = lambda factor: (  # noqa: E731
        (to_millimetres(root_relative(image), factor) - root_relative(points)).square().sum((-1, -2))
    )
    for other in (factor * 1.001, factor * 0.999, to_image(points, cameras(), "box")[1]):
        assert (gap(factor) < gap(other)).all()


def test_the_lens_is_left_out(points):
    plain, bent = to_image(points, cameras())[0], cameras().project(points)
    pinhole = replace(cameras(), radial=None, tangential=None)
    assert torch.equal(plain[..., :2], pinhole.project(points))
    assert 1 < (plain[..., :2] - bent).norm(dim=-1).max() < 60


def test_only_the_files_own_scale_gives_every_view_the_same_joints(points):
    image, factor = to_image(points, cameras())
    views = cameras().camera_to_world(from_image(image, factor, cameras()))
    assert (views[0] - views[1]).norm(dim=-1).max() < 1e-9
    wrong = cameras().camera_to_world(from_image(image, factor, cameras(), scale="box"))
    assert (wrong[0] - wrong[1]).norm(dim=-1).mean() > 10


def test_float32_is_good_to_a_hundredth_of_a_mm(points):
    image, factor = to_image(points.float(), cameras().to(torch.float32))
    back = from_image(image, factor, cameras().to(torch.float32))
    assert back.dtype == torch.float32 and (back - points).abs().max() < 0.02


def test_relative_and_back(points):
    relative = root_relative(points)
    assert not relative[..., 0, :].any()
    assert torch.equal(relative[0, 3, 5], points[0, 3, 5] - points[0, 3, 0])
    torch.testing.assert_close(with_root(relative, points[..., 0, :]), points, rtol=0, atol=1e-11)


def test_normalised_as_the_input_is():
    image = np.array([[[1000.0, 1002.0, -250.0], [0.0, 0.0, 125.0]]])
    normalised = normalise_image(image, 1000, 1002)
    np.testing.assert_allclose(normalised, [[[1, 1.002, -0.5], [-1, -1.002, 0.25]]])
    np.testing.assert_allclose(denormalise_image(normalised, 1000, 1002), image)
    assert torch.equal(normalise_image(torch.as_tensor(image), 1000, 1002), torch.as_tensor(normalised))


def test_what_is_not_before_the_camera_has_no_pixel(points):
    image, _ = to_image(points * torch.tensor([1.0, 1.0, -1.0]).double(), cameras())
    assert image[..., :2].isnan().all() and not math.isnan(image[0, 0, 0, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda points: to_image(points, cameras(), scale="boxed"), '"boxed", expected "fitted" or "box"'),
        (lambda points: from_image(points, points[..., 0, 0], cameras(), scale=""), 'expected "fitted"'),
        (
            lambda points: root_relative(points[..., :2]),
            r"\(2, 60, 17, 2\), expected \(..., frames, joints, 3",
        ),
        (lambda points: to_image(points, cameras(3)), r"camera batch of \(3,\)"),
        (lambda points: normalise_image(points, 1000, 0), "1000 x 0 pixels"),
    ],
)
def test_what_does_not_fit_is_named(points, call, message):
    with pytest.raises(ValueError, match=message):
        call(points)
