"""Points out of pixels: known ones come back, and what cannot be known is refused or NaN."""

from dataclasses import replace

import pytest
import torch

from posemamba.camera import Camera
from posemamba.triangulation import triangulate

POSITIONS = torch.tensor(
    [[3000.0, 0, 1500], [0, 3500, 1000], [-3000, 500, 2500], [500, -4000, 1800]]
).double()
TARGET = torch.tensor([0.0, 0, 900]).double()


@pytest.fixture
def scene():
    """Four cameras with lenses and images of two sizes, points about their target, and the points' pixels."""
    rig = Camera.look_at(POSITIONS, TARGET.expand(4, 3), 1600, 1080, 1920)
    lens = dict(radial=torch.tensor([-0.05, 0.14, 0.01]), tangential=torch.tensor([0.001, 0.0005]))
    rig = replace(rig, **{name: values.double().expand(4, -1) for name, values in lens.items()})
    cameras = [replace(rig[k], width=1080 + 8 * (k % 2)) for k in range(4)]
    points = TARGET + 400 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(0)).double()
    return cameras, points, torch.stack([c.project(c.world_to_camera(points)) for c in cameras])


def test_exact_pixels_give_the_points_back(scene):
    cameras, points, pixels = scene
    found, errors = triangulate(cameras, pixels)
    assert found.shape == (5, 17, 3) and errors.shape == (4, 5, 17)
    assert torch.allclose(found, points, atol=1e-6) and errors.max() < 1e-6
    two, _ = triangulate(cameras[:2], pixels[:2].numpy())
    assert torch.allclose(two, points, atol=1e-6)
    alone, error = triangulate(cameras, pixels[:, 0, 0])
    assert alone.shape == (3,) and error.shape == (4,) and torch.allclose(alone, points[0, 0], atol=1e-6)


def test_the_weighted_reprojection_error_is_least(scene):
    cameras, _, pixels = scene
    generator = torch.Generator().manual_seed(1)
    pixels = pixels + 8 * torch.randn(pixels.shape, generator=generator)
    weights = torch.rand(pixels.shape[:-1], generator=generator).double()
    found, errors = triangulate(cameras, pixels, weights)

    def cost(points):
        images = torch.stack([c.project(c.world_to_camera(points)) for c in cameras])
        return (weights * (images - pixels).square().sum(-1)).sum()

    assert torch.isclose(cost(found), (weights * errors.square()).sum())
    moving = found.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cost(moving), moving)
    assert slope.abs().max() < 1e-4  # px^2 a mm; at the nearest point to the rays it is far from that
    (slope,) = torch.autograd.grad(cost(moving + 0.5), moving)
    assert slope.abs().max() > 0.1


def test_a_weight_counts(scene):
    cameras, points, pixels = scene
    wrong = pixels.clone()
    wrong[2] += 100
    weights = torch.ones(4, 5, 17)
    weights[2] = 0
    found, errors = triangulate(cameras, wrong, weights)
    assert torch.allclose(found, points, atol=1e-6)
    assert torch.allclose(errors[2], torch.full_like(errors[2], 100 * 2**0.5))
    weights[2] = 1e-3
    light = (triangulate(cameras, wrong, weights)[0] - points).norm(dim=-1)
    assert (light < (triangulate(cameras, wrong)[0] - points).norm(dim=-1)).all()


def test_the_worst_camera_is_dropped_where_that_helps(scene):
    cameras, points, pixels = scene
    wrong = pixels.clone()
    wrong[1, 2, 5] += 120
    wrong[:, 3] += 20 * torch.randn(4, 17, 2, generator=torch.Generator().manual_seed(2))
    kept, _ = triangulate(cameras, wrong)
    found, errors = triangulate(cameras, wrong, drop=10)
    assert (kept[2, 5] - points[2, 5]).norm() > 20
    assert torch.allclose(found[2, 5], points[2, 5], atol=1e-6)
    assert errors[1, 2, 5] > 100 and errors[[0, 2, 3], 2, 5].max() < 1e-6
    assert torch.equal(found[[0, 1, 4]], kept[[0, 1, 4]])  # nothing there is above the limit
    same, _ = triangulate(cameras[:2], wrong[:2], drop=10)  # two cameras: none is left to judge by
    assert torch.equal(same, triangulate(cameras[:2], wrong[:2])[0])


def test_an_unseen_joint_is_nan(scene):
    cameras, points, pixels = scene
    pixels[0, 1, 3] = torch.nan  # three are left
    pixels[:3, 2, 4, 0] = torch.nan  # one is left
    weights = torch.ones(4, 5, 17)
    weights[1:, 4, 16] = 0
    found, errors = triangulate(cameras, pixels, weights, drop=1.0)
    missing = torch.zeros(5, 17, dtype=torch.bool)
    missing[2, 4] = missing[4, 16] = True
    assert torch.equal(found.isnan().all(-1), missing) and torch.equal(found.isnan().any(-1), missing)
    assert torch.allclose(found[~missing], points[~missing], atol=1e-6)
    assert errors[0, 1, 3].isnan() and errors[1:, 1, 3].max() < 1e-6


def test_what_cannot_be_known_is_refused(scene):
    cameras, _, pixels = scene
    with pytest.raises(ValueError, match=r"1 cameras .* expected two cameras or more"):
        triangulate(cameras[:1], pixels[:1])
    with pytest.raises(ValueError, match=r"pixels of shape \(4, 5, 17, 2\), expected two"):
        triangulate(cameras[:3], pixels)
    with pytest.raises(ValueError, match=r"shape \(4, 5\), least 1, expected \(4, 5, 17\)"):
        triangulate(cameras, pixels, torch.ones(4, 5))
    with pytest.raises(ValueError, match="least -1"):
        triangulate(cameras, pixels, -torch.ones(4, 5, 17))
    with pytest.raises(ValueError, match="rays to point 0 are parallel"):
        triangulate([cameras[0], cameras[0]], pixels[[0, 0]])
    # Two cameras side by side that look the same way, and a point at infinity.
    beside = replace(cameras[0], translation=cameras[0].translation + torch.tensor([500.0, 0, 0]).double())
    with pytest.raises(ValueError, match="parallel"):
        triangulate([cameras[0], beside], pixels[[0, 0], 0])
