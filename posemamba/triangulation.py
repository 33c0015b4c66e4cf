"""Points in space out of their pixels in several calibrated cameras that see them at one moment.

Each pixel is a ray from its camera. First comes the point nearest to the rays in least squares, a linear
problem; from there steps of Gauss and Newton make the reprojection error least: the distance, in pixels, from
where a point is seen to where its camera would show it (Hartley and Sturm, 1997).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from posemamba.camera import Camera

# Two rays at an angle of a have (1 - cos a) / 2 as the least eigenvalue of their mean projector.
_PARALLEL, _STEPS = 1e-9, 8


def triangulate(
    cameras: Sequence[Camera],
    pixels: Float[Tensor, "cameras ... 2"],
    weights: Float[Tensor, "cameras ..."] | None = None,
    drop: float | None = None,
) -> tuple[Float[Tensor, "... 3"], Float[Tensor, "cameras ..."]]:
    """Finds points from their pixels in two or more cameras.

    Args:
        cameras: single ones, not batches; their images may differ in size.
        pixels: as the cameras see them, lens distortion and all; NaN where a camera does not see a point.
        weights: how much each squared error counts, such as a detector's confidence: 0 or more; 1 by default.
        drop: a point with an error above this, pixels, in one of three cameras or more is found again without
            each camera in turn. The best of these counts where its largest error is below half of the former.

    Returns:
        The points `(..., 3)`, mm in the world, NaN where fewer than two cameras count; and each camera's
        reprojection error `(cameras, ...)`, pixels, of a dropped one too, NaN where its pixel is. Float64.

    Raises:
        ValueError: fewer than two cameras, shapes that do not fit, weights below 0, parallel rays.
    """
    pixels = torch.as_tensor(pixels).double()
    seen_by, count = tuple(pixels.shape[:-1]), len(cameras)
    if count < 2 or pixels.ndim < 2 or (seen_by[0], pixels.shape[-1]) != (count, 2):
        found = f"found {count} cameras and pixels of shape {tuple(pixels.shape)}"
        raise ValueError(f"{found}, expected two cameras or more and pixels (cameras, ..., 2)")
    weights = torch.as_tensor(1.0).expand(seen_by) if weights is None else torch.as_tensor(weights)
    if weights.shape != seen_by or not (weights >= 0).all():
        found = f"weights have shape {tuple(weights.shape)}, least {weights.min():g}"
        raise ValueError(f"{found}, expected {seen_by}, one for each pixel, and 0 or more")
    rig = Camera.stack([replace(camera, width=1, height=1) for camera in cameras]).to(torch.float64)
    flat, weights = pixels.reshape(count, -1, 2), weights.double().reshape(count, -1)
    weights = weights * flat.isfinite().all(-1)
    points, errors = _solve(rig, flat, weights)
    if drop is not None:
        worst = torch.where(weights > 0, errors, 0).amax(0)
        at = ((worst > drop) & ((weights > 0).sum(0) > 2)).nonzero()[:, 0]
        best = worst[at] / 2
        for left_out in range(count):
            fewer = weights[:, at].index_fill(0, torch.tensor(left_out), 0)
            again, errors_again = _solve(rig, flat[:, at], fewer)
            better = (worst := torch.where(fewer > 0, errors_again, 0).amax(0)) < best
            best[better] = worst[better]
            points[at[better]], errors[:, at[better]] = again[better], errors_again[:, better]
    return points.reshape(*seen_by[1:], 3), errors.reshape(seen_by)


def _solve(rig: Camera, pixels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Points `(n, 3)` and errors `(cameras, n)`; a camera of weight 0 has no part in a point."""
    share, eye = weights / weights.sum(0).clamp_min(1e-300), torch.eye(3, dtype=torch.float64)
    rays = F.normalize(rig.unproject(pixels.nan_to_num(), torch.ones_like(share)) @ rig.rotation, dim=-1)
    # What a vector has across a ray: (I - r r^T) v. The point's is to be the camera's.
    across = share[..., None, None] * (eye - rays[..., :, None] * rays[..., None, :])
    normal, enough = across.sum(0), (weights > 0).sum(0) > 1
    if (parallel := enough & (torch.linalg.eigvalsh(normal)[:, 0] < _PARALLEL)).any():
        found = f"the rays to point {int(parallel.nonzero()[0])} are parallel"
        raise ValueError(f"{found}, expected cameras that see it from different sides")
    right = (across @ rig.position[:, None, :, None]).sum(0)[..., 0]
    points = torch.linalg.solve(normal.where(enough[:, None, None], eye), right)
    for _ in range(_STEPS):
        # The point, and a millimetre to either side along each axis for the Jacobian, (cameras, n, 2, 3).
        around = torch.cat([torch.zeros_like(eye[:1]), eye, -eye])[:, None]
        seen = _images(rig, points + around)
        jacobian, wrong = (seen[:, 1:4] - seen[:, 4:]).permute(0, 2, 3, 1) / 2, pixels - seen[:, 0]
        counts = torch.where((wrong.sum(-1) + jacobian.sum((-1, -2))).isfinite(), share, 0)[..., None]
        jacobian, wrong = jacobian.where(counts[..., None] > 0, 0), wrong.where(counts > 0, 0)
        weighted = (jacobian * counts[..., None]).mT
        normal, right = (weighted @ jacobian).sum(0), (weighted @ wrong[..., None]).sum(0)[..., 0]
        step = torch.linalg.solve_ex(normal, right)[0].nan_to_num(0, 0, 0)
        points = points + step
        if (step.abs() < 1e-6).all():
            break
    points = points.where(enough[:, None], torch.nan)
    return points, (_images(rig, points) - pixels).norm(dim=-1)


def _images(rig: Camera, points: Tensor) -> Tensor:
    return rig.project(rig.world_to_camera(points.expand(len(rig.focal), *points.shape)))
