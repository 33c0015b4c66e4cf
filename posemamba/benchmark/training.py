"""The section "training": whole training steps, forward, loss, backward and AdamW."""

import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from posemamba.benchmark import isolated
from posemamba.benchmark.cases import JOINTS, Settings
from posemamba.benchmark.memory import Peak, available
from posemamba.benchmark.timing import Clock, Contestant, Timing, interleave, reason
from posemamba.losses import JOINT_WEIGHTS, pose_loss
from posemamba.model import PoseMamba
from posemamba.training import parameter_groups


@dataclass(frozen=True)
class Case:
    """A step to time.

    Attributes:
        variant: the network.
        batch, frames: the size of its input.
        precision: "float32", or autocast to "bfloat16".
        mode: "eager", "compiled", "graph" (the whole step as one CUDA graph) or "compiled graph".
    """

    variant: str
    batch: int
    frames: int
    precision: str = "float32"
    mode: str = "eager"

    @property
    def name(self) -> str:
        return f"PoseMamba-{self.variant}, batch {self.batch}, {self.precision}, {self.mode}"


MODES = (("eager", "compiled"), ("graph",), ("compiled graph",))


def groups(settings: Settings) -> list[list[Case]]:
    """The steps that are timed in turns with each other. A CUDA graph keeps its memory as long as it lives,
    so that two large ones may not fit side by side: they run on their own."""
    if settings.device == "cpu":
        variants = [variant for variant in ("S", "L") if variant in settings.variants]
        return [[Case(variant, 1, settings.frames) for variant in variants]]
    return [
        [Case("S", batch, settings.frames, precision, mode) for mode in modes]
        for batch in (4, 64)
        for precision in ("float32", "bfloat16")
        for modes in MODES
    ]


def section(settings: Settings, log: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Measure training steps. `keep` is given the section as it stands, after each group."""
    found = {"rows": []}
    for group in groups(settings):
        rows = [asdict(case) | {"name": case.name} for case in group]
        found["rows"] += rows
        measured(group, rows, settings, lambda line: log(f"training: {line}"))
        for case, row in zip(group, rows, strict=True):
            if row.get("seconds"):
                row["sequences_a_second"] = case.batch / row["seconds"]["step"]["median"]
        keep(found)
        if settings.device == "cuda":  # the next group begins with the GPU to itself
            torch._dynamo.reset()
            gc.collect()
            torch.cuda.empty_cache()


def measured(group: list[Case], rows: list[dict], settings: Settings, log: Callable[[str], None]) -> None:
    """Fill in the rows of steps timed in turns."""
    contestants, steps = [], {}
    for case, row in zip(group, rows, strict=True):
        if settings.fresh and settings.device == "cpu":
            log(f"{case.name}, memory")
            row["memory"] = memory(case, settings)
            if "failed" in row["memory"]:
                row["failed"] = row["memory"]["failed"]
                continue
        log(f"{case.name}, preparing")
        try:
            steps[case.name] = Step(case, settings.device, settings.seed)
        except Exception as error:  # what cannot be compiled or captured here is recorded as that
            row["failed"] = reason(error)
            continue
        contestants.append(Contestant(case.name, stopwatch(steps[case.name]), row))
    timings: dict[str, Timing] = interleave(
        contestants, settings.device, settings.rounds, settings.budget, log
    )
    for contestant in contestants:
        contestant.row.update(timings[contestant.name].figures())
        if settings.device == "cuda" and "failed" not in contestant.row:
            contestant.row["memory"] = steps[contestant.name].memory()


def stopwatch(step: Callable[[], None]) -> Callable[[Clock], dict[str, float]]:
    """A contestant's `measure`, with the one part "step"."""

    def measure(clock: Clock) -> dict[str, float]:
        begin = clock.start()
        step()
        return {"step": clock.between(begin, clock.mark())}

    return measure


class Step:
    """A training step that can be called again and again; the same random batch each time."""

    def __init__(self, case: Case, device: str, seed: int):
        torch.manual_seed(seed)
        self.case, self.device = case, device
        self.model = PoseMamba.from_variant(case.variant, frames=case.frames).train().to(device)
        graph = "graph" in case.mode
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, 0.01), lr=2e-4, capturable=graph and device == "cuda"
        )
        size = (case.batch, case.frames, JOINTS)
        self.keypoints = (torch.rand(*size, 2) - 0.5).to(device)
        self.targets = (torch.rand(*size, 3) - 0.5).to(device)
        self.joint_weights = torch.tensor(
            JOINT_WEIGHTS, device=device
        )  # a graph can copy nothing from the host
        self.network = torch.compile(self.model) if "compiled" in case.mode else self.model
        self._graph, self._peak = None, None
        if graph:
            self._capture()

    def __call__(self) -> None:
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()

    def _step(self) -> None:
        narrow = self.case.precision == "bfloat16"
        cached = "graph" not in self.case.mode  # in a graph the narrow weights must be made anew each time
        with torch.autocast(self.device, torch.bfloat16, enabled=narrow, cache_enabled=cached):
            poses = self.network(self.keypoints)
        loss, _ = pose_loss(poses.float(), self.targets, joint_weights=self.joint_weights)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _capture(self) -> None:
        if self.device != "cuda":
            raise ValueError("CUDA graphs need a CUDA device")
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # compile, and give the optimiser its state
                self._step()
        torch.cuda.current_stream().wait_stream(aside)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with Peak("cuda") as peak, torch.cuda.graph(graph):
            self._step()
        self._graph, self._peak = graph, peak

    def memory(self) -> dict:
        """Peak bytes of a step over the weights, the optimiser's state and the batch. A graph's were taken
        when it was captured."""
        peak = self._peak
        if peak is None:
            self.optimizer.zero_grad(set_to_none=True)
            with Peak(self.device) as peak:
                self()
        weights = sum(parameter.nbytes for parameter in self.model.parameters())
        return {"step": {"bytes": peak.bytes}, "weights": weights, "method": peak.method}


def memory(case: Case, settings: Settings) -> dict:
    """Peak bytes of a step on the CPU, from a process of its own."""
    try:
        found = isolated.call(
            "posemamba.benchmark.training:measure_memory",
            case=asdict(case),
            seed=settings.seed,
            threads=settings.threads,
        )
    except isolated.Failed as error:
        return {"failed": str(error)}
    free, most = available("cpu"), found["step"]["bytes"]
    if free is not None and most > 0.8 * free:
        found["failed"] = f"needs {most / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free"
    return found


def measure_memory(case: dict, seed: int, threads: int) -> dict:
    """`memory`'s work: a step with two frames first, which loads and compiles everything and gives the
    optimiser its state."""
    torch.set_num_threads(threads)
    step = Step(Case(**case), "cpu", seed)
    whole = step.keypoints, step.targets
    step.keypoints, step.targets = (part[:, :2].contiguous() for part in whole)
    step()
    step.keypoints, step.targets = whole
    return step.memory()
