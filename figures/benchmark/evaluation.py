"""Seconds from predictions for all of Human3.6M's test windows to every figure of the report.

    python figures/benchmark/evaluation.py

makes 2,228 windows of 243 frames, 541,404 as the release scores them, of synthetic motion in 2.5D with its
mm per pixel, and predictions that err by some centimetres. Measured is what comes after a network has
answered: into mm, all metrics of every joint, the means by action, joint, limb and subject, the tables. At
most 20 seconds are asked for on two cores. On a busy machine the processor's seconds say more than the
clock's.
"""

import argparse
import os
import time

# As the command: threads that wait sleep, which torch reads when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import psutil
import torch

from posemamba import metrics
from posemamba.camera import Camera
from posemamba.evaluation import Report, in_millimetres, score, tables
from posemamba.evaluation.human36m import ACTIONS
from posemamba.motion import EvaluationWindows, synthetic_clips
from posemamba.motion.targets import root_relative, to_image

FRAMES = 243


def windows(count: int) -> tuple[EvaluationWindows, torch.Tensor]:
    """So many windows with 2.5D targets, and predictions for them; a clip of Human3.6M has about seven."""
    camera = Camera.look_at(
        torch.tensor([4500.0, 1500, 1600]), torch.tensor([0.0, 0, 900]), 1145.0, 1000, 1000
    )
    motion = torch.from_numpy(np.concatenate([clip.joints for clip in synthetic_clips(seed=0)]))
    motion[..., :2] -= motion[:, :1, :2].clone()
    image, factor = to_image(camera.world_to_camera(motion), camera)
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(len(motion) - FRAMES, (count,), generator=generator)
    at = start[:, None] + torch.arange(FRAMES)
    targets = root_relative(image)[at] / 500
    prediction = targets + 0.02 * torch.randn(targets.shape, generator=generator)
    clip = torch.arange(count) // 7
    place = (torch.arange(count) % 7 * FRAMES)[:, None] + torch.arange(FRAMES)
    scored, size = torch.ones(count, FRAMES, dtype=torch.bool), torch.full((count, 2), 1000)
    inputs = torch.zeros(count, FRAMES, 17, 2)
    of = clip % len(ACTIONS), tuple(sorted(ACTIONS)), clip, place[:, 0], clip % 4, None, place, place, size
    return EvaluationWindows(inputs, targets, scored, *of, factor[at]), prediction


def report(given: EvaluationWindows, prediction: torch.Tensor) -> dict[str, float]:
    """Everything that the command prints and keeps; the processor's seconds of each part."""
    spent, last = {}, time.process_time()

    def lap(name: str) -> None:
        nonlocal last
        spent[name], last = time.process_time() - last, time.process_time()

    truth = in_millimetres(given.targets, given)
    answers = in_millimetres(prediction, given)
    answers[:, :, 0] = 0
    lap("into mm")
    whole = EvaluationWindows(**{**vars(given), "targets": truth})
    scores = score(answers, whole)
    lap("all metrics")
    told = dict(name="h36m", mean="over_actions", inputs="detected")
    subjects = tuple("S9" if clip % 2 else "S11" for clip in given.clip.tolist())
    found = Report({"model": scores}, told, subjects)
    found.to_json()
    lap("means")
    for table in (tables.by_action(found), tables.by_part(found)):
        table.render()
    lap("tables")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few windows, to see that it runs")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    given, prediction = windows(20 if asked.quick else 2228)
    print(f"{given.scored.sum():,} frames, {len(metrics.METRICS)} metrics, {asked.threads} threads")
    print(f"load of the machine before: {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
    for _ in range(1 if asked.quick else asked.repeats):
        start, busy = time.perf_counter(), time.process_time()
        parts = report(given, prediction)
        wall, busy = time.perf_counter() - start, time.process_time() - busy
        memory = psutil.Process().memory_info().rss / 2**30
        print(f"{wall:.1f} s, {busy:.1f} s of processors; {memory:.1f} GiB in memory now", flush=True)
        print("  " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items()), flush=True)


if __name__ == "__main__":
    main()
