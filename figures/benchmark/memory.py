"""Peak memory of scans, of networks and of training steps, each in a process of its own.

    python figures/benchmark/memory.py --shape S --peer ../MotionBERT

On a CPU psutil reads the process's resident memory every half millisecond, while the work runs: what comes
and goes faster is missed. On a GPU torch's allocator tells exactly.
"""

import argparse
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable

import psutil
import torch
from peers import Peer
from steps import Step, ours

from posemamba.benchmark.runs import Run, Shape, reason
from posemamba.benchmark.sections import everybody, forward_of, gradients_of, refusal

# glibc keeps small freed blocks for later and raises, as it goes, the size it calls small. With the size
# fixed, tensors come from the system and go back to it, and resident memory is memory in use.
STRICT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


class Peak:
    """Within it, the largest memory in use, over what was in use when it began.

    Attributes:
        bytes: the peak over the beginning; set at the end.
    """

    def __init__(self, device: str = "cpu"):
        self.cuda, self.bytes = device == "cuda", 0
        self._done, self._process = threading.Event(), psutil.Process()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        gc.collect()
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._before = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self.cuda:
            torch.cuda.synchronize()
            self.bytes = torch.cuda.max_memory_allocated() - self._before
        else:
            self._look()
            self._done.set()
            self._thread.join()

    def _look(self) -> None:
        self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)

    def _watch(self) -> None:
        while not self._done.wait(0.0005):
            self._look()


def apart(function: Callable, *arguments, timeout: float = 900.0):
    """Call a function in a fresh process and return what it returns. RuntimeError says how it failed."""
    context = multiprocessing.get_context("spawn")
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(answer, function, arguments))
    before = dict(os.environ)
    os.environ.update(STRICT)
    try:
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    answer.close()
    try:
        if not answers.poll(timeout):
            raise RuntimeError(f"took more than {timeout:.0f} s")
        failed, result = answers.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"ended with exit code {process.exitcode}; -9 is most often for want of memory"
        ) from None
    finally:
        process.kill()
        process.join()
    if failed:
        raise RuntimeError(result)
    return result


def _answer(answer, function: Callable, arguments: tuple) -> None:
    try:
        answer.send((False, function(*arguments)))
    except Exception as error:
        answer.send((True, reason(error)))


def of_scan(name: str, shape: Shape, device: str, seed: int, threads: int) -> dict[str, int]:
    """Peak bytes over what the inputs take: "forward" without gradients, "both" with them."""
    torch.set_num_threads(threads)
    call = everybody(device)[0][name]  # this has tried it once: everything is loaded and compiled
    values, cotangent = shape.inputs(device, seed)
    with Peak(device) as forward, torch.no_grad():
        call(*values)
    with Peak(device) as both:
        gradients_of(call, values, cotangent)
    return {"forward": forward.bytes, "both": both.bytes}


def of_network(
    name: str, path: str | None, frames: int, device: str, seed: int, threads: int
) -> dict[str, int]:
    """Peak bytes of one sequence's forward pass, over weights and input."""
    torch.set_num_threads(threads)
    run = Run(device=device, threads=threads, seed=seed, frames=frames)
    network = ours(name, frames, seed) if path is None else Peer(path).build(name, frames)
    network.to(device)
    if path is None:  # load and compile what it uses; a peer's number of frames is fixed
        with torch.no_grad():
            network(torch.zeros(1, 1, 17, 2, device=device))
    forward = forward_of(network, 1, run)
    with Peak(device) as peak:
        forward()
    return {"forward": peak.bytes}


def of_step(variant: str, frames: int, device: str, seed: int, threads: int) -> dict[str, int]:
    """Peak bytes of a training step with one sequence, over the weights and the optimiser's state."""
    torch.set_num_threads(threads)
    step = Step(variant, 1, Run(device=device, threads=threads, seed=seed, frames=frames))
    whole = step.keypoints, step.targets
    step.keypoints, step.targets = (part[:, :2].contiguous() for part in whole)
    step()  # loads and compiles everything, and gives the optimiser its state
    step.keypoints, step.targets = whole
    step.optimizer.zero_grad(set_to_none=True)
    with Peak(device) as peak:
        step()
    return {"step": peak.bytes}


def told(found: dict[str, int]) -> str:
    return ", ".join(f"{part} {peak / 2**20:.1f} MiB" for part, peak in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", action="append", default=[], help="a size; all without one")
    parser.add_argument("--peer", action="append", default=[], help="a checkout, whose networks run too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    given = parser.parse_args()
    run = Run(device=given.device, threads=given.threads).choose(given.shape, quick=given.quick)
    peers = [Peer(path) for path in given.peer]
    common = (run.device, run.seed, run.threads)
    tasks = [
        (f"{shape.name}, {name}", of_scan, name, shape)
        for shape in run.shapes
        for name in everybody(run.device)[0]
        if refusal(name, shape, run.device) is None
    ]
    tasks += [(f"PoseMamba-{name}", of_network, name, None, run.frames) for name in run.variants]
    tasks += [(name, of_network, name, peer.path, run.frames) for peer in peers for name in peer.networks]
    tasks += [(f"PoseMamba-{name}, training", of_step, name, run.frames) for name in run.variants]
    if given.quick:  # one of each kind
        tasks = [next(task for task in tasks if task[1] is kind) for kind in (of_scan, of_network, of_step)]
    for name, function, *arguments in tasks:
        try:
            print(f"{name}: {told(apart(function, *arguments, *common))}", flush=True)
        except RuntimeError as error:
            print(f"{name}: {error}", flush=True)


if __name__ == "__main__":
    main()
