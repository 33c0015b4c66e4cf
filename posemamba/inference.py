"""A model over a sequence of any length: windows that overlap, mirrored copies, and their average.

The network sees a window of `model.config.frames` frames at once. A longer sequence is cut into windows that
overlap; where they do, their answers are blended by `window_weights`, so that there is no jump at an end.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from posemamba.keypoints import inspect
from posemamba.metrics import check_finite
from posemamba.skeleton import flip as mirror

Progress = Callable[[int, int], None]  # called with the number of windows that are done and of all
# Of windows' points the network's inputs, and what takes its answers to the axes that all windows share.
View = Callable[[Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]]


def window_weights(frames: int) -> Float[Tensor, " frames"]:
    """How much each frame of a window counts where windows overlap: sin^2(pi (i + 1/2) / frames).

    This is Hann's window: largest in the middle, where the model sees both past and future, and almost
    nothing at the ends. It is never zero: a frame that one window alone covers keeps that window's answer.
    """
    place = (torch.arange(frames, dtype=torch.float64) + 0.5) / frames
    return torch.sin(torch.pi * place).square()


def window_starts(length: int, frames: int, overlap: int) -> list[int]:
    """The first frames of windows that cover a sequence; the last one is shifted back to end with it."""
    last = max(0, length - frames)
    return [*range(0, last, frames - overlap), last]


@torch.no_grad()
def predict_windows(
    model: nn.Module,
    inputs: Float[Tensor, "n frames 17 2"],
    flip: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Float[Tensor, "n frames 17 3"]:
    """The model's answers for many windows, batch by batch: float32 on the CPU.

    They are in mm where `model.config.millimetres_per_unit` is known, else in the model's units.

    Args:
        model: takes `(b, frames, 17, 2)` to `(b, frames, 17, 3)`; runs in evaluation mode, on the device and
            in the precision of its first parameter, and is left in the mode it was in.
        inputs: windows of normalised 2D joints, on any device.
        flip: whether to average with the mirrored answer for the mirrored input, as the paper does at test.
        batch_size: windows at once.
        progress: called after each batch with the windows done and their number.

    Raises:
        ValueError: shapes that do not fit, NaN.
    """
    _check(inputs, "inputs", "(n, frames, 17, 2)", 4)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
    first = next(model.parameters(), torch.empty(0))
    scale = getattr(getattr(model, "config", None), "millimetres_per_unit", None)
    outputs, training = torch.empty(*inputs.shape[:-1], 3), model.training
    model.eval()
    try:
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size].to(first.device, first.dtype)
            answer = model(batch)
            if answer.shape != (expected := (*batch.shape[:-1], 3)):
                raise ValueError(f"model answered with shape {tuple(answer.shape)}, expected {expected}")
            if flip:
                answer = (answer + mirror(model(mirror(batch)))) / 2
            outputs[start : start + batch_size] = answer.float().cpu()
            if progress is not None:
                progress(min(start + batch_size, len(inputs)), len(inputs))
    finally:
        model.train(training)
    return outputs if scale is None else outputs * scale


def _as_they_are(points: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    return points, lambda answers: answers


@torch.no_grad()
def blend_windows(
    model: nn.Module,
    points: Float[Tensor, "frames 17 2"],
    view: View,
    overlap: int | None = None,
    flip: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Float[Tensor, "frames 17 3"]:
    """Lifts windows that overlap and blends their answers: float32 on the CPU.

    Args:
        view: makes of windows `(n, frames, 17, 2)` of the points the network's inputs, and a function that
            takes the answers `(n, frames, 17, 3)` to axes that all windows share.
        model, overlap, flip, batch_size, progress: as in `lift`.

    Raises:
        ValueError: an overlap or a batch size that cannot be, NaN.
    """
    window = model.config.frames
    overlap = window // 2 if overlap is None else overlap
    if not 0 <= overlap < window:
        raise ValueError(f"overlap is {overlap}, expected 0 to {window - 1} for windows of {window} frames")
    # A window that is not full is answered worse than one whose last frame is held: of one frame of the
    # demonstration clip alone `small_cmu` makes 74 mm of error, of one that is held 40.
    length = len(points)
    points = torch.cat([points, points[-1:].expand(max(0, window - length), -1, -1)])
    starts = torch.tensor(window_starts(length, window, overlap))
    weights, blended = window_weights(window), torch.zeros(len(points), 17, 3, dtype=torch.float64)
    total, step = torch.zeros(len(points), dtype=torch.float64), max(batch_size, 1)  # less is refused below
    for done in range(0, len(starts), step):
        frames = starts[done : done + step, None] + torch.arange(window)  # (n, window)
        inputs, turn_back = view(points[frames])
        answers = turn_back(predict_windows(model, inputs.float(), flip, batch_size)).double()
        # Weighted sum and weights' sum over all windows that speak about a frame.
        blended.index_add_(0, frames.flatten(), (answers * weights[:, None, None]).flatten(0, 1))
        total.index_add_(0, frames.flatten(), weights.repeat(len(frames)))
        if progress is not None:
            progress(done + len(frames), len(starts))
    return (blended / total[:, None, None])[:length].float()


def lift(
    model: nn.Module,
    keypoints: Float[Tensor, "frames 17 2"] | np.ndarray,
    overlap: int | None = None,
    flip: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
    check: bool = True,
) -> Float[Tensor, "frames 17 3"]:
    """Lifts a 2D sequence of any length to 3D: float32 on the CPU, in the units of `predict_windows`.

    Args:
        model: as in `predict_windows`, with its window length in `model.config.frames`. Where a sequence is
            shorter than that, its last frame is held.
        keypoints: 2D joints in Human3.6M's order, normalised so that the image's width spans [-1, 1]
            (`camera.normalise_screen`).
        overlap: frames that neighbouring windows share, from 0 (fastest, with jumps where windows meet) to
            one less than a window; half a window by default.
        flip, batch_size, progress: as in `predict_windows`.
        check: whether `keypoints.inspect` looks first. What is certainly wrong (pixels, COCO's order) is
            refused; what is only likely (fractions, y upwards, other orders) is a RuntimeWarning.

    Raises:
        ValueError: another shape, NaN (naming frame and joint), what `check` refuses, a `view` of the person.
    """
    keypoints = keypoints if isinstance(keypoints, Tensor) else torch.tensor(np.asarray(keypoints))
    if getattr(model.config, "view", "image") != "image":
        raise ValueError("the network is shown the person's own view: lifting.lift_person makes it of pixels")
    _check(keypoints, "keypoints", "(frames, 17, 2)", 3)
    for finding in inspect(keypoints.detach().cpu().double().numpy()) if check else []:
        if finding.certain:
            raise ValueError(f"{finding.sentence} (check=False lifts them as they are)")
        warnings.warn(f"{finding.sentence} (check=False lifts them unseen)", RuntimeWarning, stacklevel=2)
    return blend_windows(model, keypoints, _as_they_are, overlap, flip, batch_size, progress)


def _check(points: Tensor, name: str, expected: str, dims: int) -> None:
    shape = tuple(points.shape)
    if len(shape) != dims or shape[-2:] != (17, 2) or 0 in shape:
        extra = "; a third column such as confidence is to be left out" if shape[-2:] == (17, 3) else ""
        raise ValueError(f"{name} has shape {shape}, expected {expected} of at least one frame{extra}")
    check_finite(points, name)
