"""The section "network": forward passes of whole networks, ours and those of other authors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from posemamba.benchmark import isolated, peers
from posemamba.benchmark.cases import JOINTS, Settings
from posemamba.benchmark.memory import Peak
from posemamba.benchmark.peers import Network
from posemamba.benchmark.timing import Clock, Contestant, interleave, reason
from posemamba.model import PoseMamba


@dataclass(frozen=True)
class Case:
    """How networks are run: `batch` sequences, "float32" or autocast to "bfloat16", "eager" or "compiled"."""

    batch: int = 1
    precision: str = "float32"
    mode: str = "eager"


CPU_CASES = (Case(),)
#: Batch inference: growing batches, and at one of them compiled networks too.
CUDA_CASES = (
    *(Case(batch, precision) for precision in ("float32", "bfloat16") for batch in (1, 4, 16, 64, 256)),
    *(Case(64, precision, "compiled") for precision in ("float32", "bfloat16")),
)
#: Compiling takes long: only the two that the paper compares.
COMPILED = ("PoseMamba-L", "MotionAGFormer-L")


def section(settings: Settings, log: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Measure forward passes, in evaluation mode and without gradients."""
    found = {"frames": settings.frames, "missing": {}, "cases": []}
    there = []
    for name, make in makers(settings):
        log(f"network: building {name}")
        try:
            network = make()
            network.module.to(settings.device)
            there.append(network)
        except Exception as error:  # a stranger's code may raise anything
            found["missing"][name] = nameless(reason(error), settings)
    if not settings.peers:
        found["missing"]["MotionAGFormer, MotionBERT"] = "no --peer was given"
    keep(found)
    for case_ in CUDA_CASES if settings.device == "cuda" else CPU_CASES:
        found["cases"].append(case(case_, there, settings, log))
        keep(found)


def nameless(text: str, settings: Settings) -> str:
    """A reason without the paths of this machine, which the record must not have."""
    for checkout in settings.peers:
        text = text.replace(str(checkout.path), checkout.name)
    return text


def makers(settings: Settings) -> Iterator[tuple[str, Callable[[], Network]]]:
    """Each network's name, and what builds it."""
    for variant in settings.variants:
        yield f"PoseMamba-{variant}", lambda v=variant: ours(v, settings.frames, settings.seed)
    for checkout in settings.peers:
        for name in list(checkout.networks)[: 1 if settings.quick else None]:
            yield (
                name,
                lambda c=checkout, n=name: peers.build(c, n, frames=settings.frames, seed=settings.seed),
            )


def ours(variant: str, frames: int, seed: int) -> Network:
    """A PoseMamba with random weights."""
    torch.manual_seed(seed)
    return Network(
        f"PoseMamba-{variant}", "posemamba", PoseMamba.from_variant(variant, frames=frames).eval(), 2
    )


def case(case_: Case, there: list[Network], settings: Settings, log: Callable[[str], None]) -> dict:
    """One way of running them: a row for each network."""
    rows, contestants = [], []
    for network in there:
        if case_.mode == "compiled" and network.name not in COMPILED:
            continue
        row = {"name": network.name, "kind": network.kind, "parameters": network.parameters}
        rows.append(row)
        if settings.fresh and settings.device == "cpu":
            log(f"{network.name}, memory")
            row["memory"] = _memory(network.name, settings)
        contestants.append(Contestant(network.name, stopwatch(network, case_, settings), row))
    log_case = f"network, batch {case_.batch}, {case_.precision}, {case_.mode}"
    timings = interleave(
        contestants,
        settings.device,
        settings.rounds,
        settings.budget,
        lambda line: log(f"{log_case}: {line}"),
    )
    for contestant, network in zip(contestants, (n for n in there if n.name in timings), strict=True):
        contestant.row.update(timings[contestant.name].figures())
        if settings.device == "cuda" and "failed" not in contestant.row:
            try:
                contestant.row["memory"] = _cuda_memory(network, case_, settings)
            except Exception as error:  # out of memory, most likely
                contestant.row["memory"] = {"failed": reason(error)}
    compare(rows, case_.batch)
    return {"batch": case_.batch, "precision": case_.precision, "mode": case_.mode, "rows": rows}


def stopwatch(network: Network, case_: Case, settings: Settings) -> Callable[[Clock], dict[str, float]]:
    """A contestant's `measure`, with the one part "forward"."""
    run = runner(network, case_, settings.device, settings.frames, settings.seed)

    def measure(clock: Clock) -> dict[str, float]:
        with network.present():  # which takes its time, and must not be timed
            begin = clock.start()
            run()
            return {"forward": clock.between(begin, clock.mark())}

    return measure


def runner(network: Network, case_: Case, device: str, frames: int, seed: int) -> Callable[[], torch.Tensor]:
    """A forward pass on random keypoints, to be called where the network is `present`."""
    generator = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(case_.batch, frames, JOINTS, network.channels, generator=generator) - 0.5
    keypoints = keypoints.to(device)
    module = torch.compile(network.module) if case_.mode == "compiled" else network.module
    narrow = case_.precision == "bfloat16"

    def run() -> torch.Tensor:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=narrow):
            return module(keypoints)

    return run


def compare(rows: list[dict], batch: int) -> None:
    """Give each row sequences a second, its ratio to the best, and ours how many times as fast as each peer
    they are (ratios of medians)."""
    medians = {row["name"]: row["seconds"]["forward"]["median"] for row in rows if row.get("seconds")}
    for row in rows:
        if row["name"] not in medians:
            continue
        mine = medians[row["name"]]
        row["sequences_a_second"] = batch / mine
        row["to_best"] = {"forward": mine / min(medians.values())}
        if row["kind"] == "posemamba":
            others = [other["name"] for other in rows if other["kind"] == "peer" and other["name"] in medians]
            row["times_as_fast_as"] = {name: medians[name] / mine for name in others}


def _memory(name: str, settings: Settings) -> dict:
    checkout = next((c for c in settings.peers if name in c.networks), None)
    try:
        return isolated.call(
            "posemamba.benchmark.networks:measure_memory",
            name=name,
            path=None if checkout is None else str(checkout.path),
            frames=settings.frames,
            seed=settings.seed,
            threads=settings.threads,
        )
    except isolated.Failed as error:
        return {"failed": nameless(str(error), settings)}


def measure_memory(name: str, path: str | None, frames: int, seed: int, threads: int) -> dict:
    """Peak bytes of one sequence's forward pass over weights and input; in a process of its own."""
    torch.set_num_threads(threads)
    if path is None:
        network = ours(name.removeprefix("PoseMamba-"), frames, seed)
        with torch.no_grad():
            network.module(torch.zeros(1, 1, JOINTS, 2))  # load and compile what it uses
    else:
        network = peers.build(peers.find(path), name, frames, seed)
        with torch.no_grad():  # load what nearly every network uses
            torch.nn.functional.gelu(torch.nn.Linear(8, 8)(torch.ones(2, 8))).softmax(-1)
    run = runner(network, Case(), "cpu", frames, seed)
    with network.present(), Peak("cpu") as peak:
        run()
    weights = sum(parameter.nbytes for parameter in network.module.parameters())
    return {"forward": {"bytes": peak.bytes}, "weights": weights, "method": peak.method}


def _cuda_memory(network: Network, case_: Case, settings: Settings) -> dict:
    """On a GPU the allocator tells, in this process; the run before has compiled everything."""
    run = runner(network, case_, "cuda", settings.frames, settings.seed)
    with network.present():
        if case_.mode == "compiled":
            run()
        with Peak("cuda") as peak:
            run()
    weights = sum(parameter.nbytes for parameter in network.module.parameters())
    return {"forward": {"bytes": peak.bytes}, "weights": weights, "method": peak.method}
