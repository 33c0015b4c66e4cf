"""Training windows a second out of a file as large as Human3.6M, and whether memory stays flat meanwhile.

    python figures/benchmark/windows.py

writes synthetic motion, repeated, as 210 clips that four cameras with lenses see, 2.1 million frames of views
with keypoints, confidences and 2.5D targets (a gigabyte, in a temporary folder), reads it once, and draws
batches for some seconds in each of the ways below, in two threads. Memory is what the process holds itself:
the pages of the file that are mapped belong to the system. At least 5,000 windows of 243 frames with detected
keypoints and metric targets are asked for on two cores.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import psutil
import torch

from posemamba.camera import Camera
from posemamba.motion import (
    Clip,
    DetectorNoise,
    View,
    WindowSampler,
    load_motion,
    save_motion,
    synthetic_clips,
)
from posemamba.motion.targets import to_image

SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
GIVEN = dict(views="given", fps=50)
WAYS = {
    "given views, keypoints, metric": GIVEN,
    "given views, keypoints, 2.5D of the set": GIVEN | dict(targets="2.5d"),
    "given views, projected, metric": GIVEN | dict(inputs="projected"),
    "given views, projected with noise": GIVEN | dict(inputs="projected", noise=DetectorNoise()),
    "virtual cameras": dict(fps=50),
    "virtual cameras, 2.5D": dict(fps=50, targets="2.5d"),
    "virtual cameras, noise": dict(fps=50, noise=DetectorNoise()),
}


def cameras() -> list[Camera]:
    """Four cameras around the floor, with lenses like Human3.6M's."""
    found = []
    for number, (width, height) in enumerate(SIZES):
        angle = torch.tensor(0.8 + 1.57 * number)
        position = torch.stack([5200 * angle.cos(), 5200 * angle.sin(), torch.tensor(1600.0)])
        camera = Camera.look_at(position, torch.tensor([0.0, 0.0, 900.0]), 1145, width, height)
        camera.radial[:] = torch.tensor([-0.2, 0.24, -0.002])
        camera.tangential[:] = torch.tensor([-0.0009, -0.0014])
        found.append(camera)
    return found


def make(path: Path, clips: int, frames: int) -> None:
    """Writes the file; in a process of its own, so that the measured one never held its content."""
    motion, rng = np.concatenate([clip.joints for clip in synthetic_clips(seed=0)]), np.random.default_rng(0)
    motion[..., :2] -= 0.9 * motion[:, :1, :2]  # who walks stays between the cameras

    def each():
        for number in range(clips):
            at = (np.arange(frames) + rng.integers(len(motion))) % len(motion)
            joints, views = motion[at], []
            for camera, name in zip(cameras(), "0123", strict=True):
                points = camera.world_to_camera(torch.from_numpy(joints))
                image, factor = (part.numpy() for part in to_image(points, camera))
                keypoints = (camera.project(points) + torch.randn(frames, 17, 2)).numpy()
                sure = rng.random((frames, 17), np.float32)
                targets = {"joint3d_image": image, "2.5d_factor": factor}
                views.append(View(name, camera.width, camera.height, camera, keypoints, sure, None, targets))
            yield Clip(joints, 50.0, f"clip {number}", f"action {number % 15}", "train", views=tuple(views))

    save_motion(path, each(), {"made by": "figures/benchmark/windows.py"})


def own_memory() -> float:
    """MiB that belong to this process alone, without mapped files."""
    found = psutil.Process().memory_info()
    return (found.rss - getattr(found, "shared", 0)) / 2**20


def rate(sampler: WindowSampler, threads: int, seconds: float) -> tuple[float, float, list[float]]:
    """Windows a second, a processor's microseconds a window, and the process's own memory as it goes, MiB."""
    steps, memory = count(), []
    sampler.batch(next(steps))
    end = time.perf_counter() + seconds

    def work() -> int:
        done = 0
        while time.perf_counter() < end:
            sampler.batch(next(steps))
            done += sampler.batch_size
            memory.append(own_memory())
        return done

    start, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(future.result() for future in [pool.submit(work) for _ in range(threads)])
    return done / (time.perf_counter() - start), 1e6 * (time.process_time() - busy) / done, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, help="a motion file with views; without one it is made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each way")
    parser.add_argument("--frames", type=int, action="append", default=[], help="243 and 27 without one")
    parser.add_argument(
        "--way", action="append", default=[], help="begins like a way's name; all without one"
    )
    parser.add_argument("--quick", action="store_true", help="a small file, to see that it runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "windows.safetensors"
        if not path.exists():
            size = (8, 400) if given.quick else (210, 2532)
            maker = multiprocessing.get_context("spawn").Process(target=make, args=(path, *size))
            maker.start()
            maker.join()
            if maker.exitcode:
                raise SystemExit("the file could not be made")
        with path.open("rb") as file:  # into the system's cache
            while file.read(1 << 24):
                pass
        torch.set_num_threads(1)
        start, before = time.perf_counter(), own_memory()
        clips = load_motion(path)
        took = 1000 * (time.perf_counter() - start)
        views = sum(len(clip) * len(clip.views) for clip in clips)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {views:,} frames of views, opened in {took:.0f} ms")
        print(f"load of the machine before: {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
        for frames in given.frames or (243, 27):
            for name, rules in WAYS.items():
                if not name.startswith(tuple(given.way)) and given.way:
                    continue
                sampler = WindowSampler(clips, frames, batch_size=64, **rules)
                found, busy, memory = rate(sampler, given.threads, 0.2 if given.quick else given.seconds)
                grown = f"own memory {memory[len(memory) // 10]:.0f} MiB, at the end {memory[-1]:.0f}"
                speed = f"{found:,.0f} windows a second, {busy:.0f} us of a core each"
                print(f"{frames:4d} frames, {name}: {speed}; {grown}", flush=True)
        print(f"own memory before the file was opened {before:.0f} MiB, now {own_memory():.0f}")
        del clips, sampler


if __name__ == "__main__":
    main()
