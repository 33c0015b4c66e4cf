"""The section "scan": backends and peers from (u, delta, A, B, C) to y and to all five gradients."""

from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from posemamba.benchmark import isolated
from posemamba.benchmark.cases import QUICK_SHAPES, Settings, Shape
from posemamba.benchmark.contestants import Scan, everybody, scans
from posemamba.benchmark.memory import Peak, available
from posemamba.benchmark.timing import Clock, Contestant, interleave, reason
from posemamba.scan import selective_scan

NAMES = ("u", "delta", "A", "B", "C")
#: Gradients agree where they differ by less, normwise, from float64's; bfloat16 itself rounds by 4e-3.
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}


def section(settings: Settings, log: Callable[[str], None], keep: Callable[[dict], None]) -> None:
    """Measure the scans. `keep` is given the section as it stands, after each size."""
    here, missing = scans(settings.device)
    found = {"missing": missing, "cases": []}
    keep(found)
    for shape in settings.shapes:
        found["cases"].append(
            case(shape, here, settings, lambda line, s=shape: log(f"scan {s.name}: {line}"))
        )
        keep(found)
    if settings.device == "cpu":
        log("scan: copying memory")
        found["copy"] = copies(settings)
        keep(found)
        log("scan: threads")
        found["threads"] = by_threads(settings.shapes[0], settings, log)
        keep(found)
    if settings.fresh:
        log("scan: the first call")
        found["first_call"] = first_calls(settings)
        keep(found)


def case(shape: Shape, here: list[Scan], settings: Settings, log: Callable[[str], None]) -> dict:
    """One size: a row for everybody, and for the lower bound."""
    rows, contestants, bound = [], [], None
    try:
        values, cotangent = shape.inputs(settings.device, settings.seed)
    except torch.OutOfMemoryError as error:
        return {"shape": asdict(shape), "failed": reason(error), "rows": []}
    for scan in here:
        row = {"name": scan.name, "kind": scan.kind}
        rows.append(row)
        refused = scan.refuses(shape)
        if refused is None and settings.fresh:
            log(f"{scan.name}, memory")
            row["memory"] = memory(scan, shape, settings)
            refused = row["memory"].get("failed")
        if refused is not None:
            row["failed"] = refused
            continue
        contestants.append(Contestant(scan.name, stopwatch(scan.call, values, cotangent), row))
        log(f"{scan.name}, agreement")
        row["agreement"] = agreement(scan, shape, settings)
    if settings.device == "cpu":
        bound = _cpu_bound(shape, settings)
        rows.append(bound.row)
        contestants.append(bound)
    else:
        rows.append({"name": "lower bound", "kind": "bound"} | _cuda_bound(shape))
    timings = interleave(contestants, settings.device, settings.rounds, settings.budget, log)
    for contestant in contestants:
        contestant.row.update(timings[contestant.name].figures())
    compare(rows)
    work = {"exponentials": shape.exponentials, "multiply_adds": shape.exponentials, "bytes": shape.bytes()}
    return {"shape": asdict(shape), "work": work, "rows": rows}


def stopwatch(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> Callable:
    """A contestant's `measure`. "forward" is without gradients; "both" is a forward pass that keeps what the
    backward pass needs, and that pass, which is also timed as "backward"."""
    leaves = [value.detach().requires_grad_() for value in values]

    def measure(clock: Clock) -> dict[str, float]:
        with torch.no_grad():
            begin = clock.start()
            y = call(*values)
            end = clock.mark()
        forward = clock.between(begin, end)
        del y
        begin = clock.start()
        y = call(*leaves)
        middle = clock.mark()
        gradients = torch.autograd.grad(y, leaves, cotangent)
        end = clock.mark()
        del gradients
        return {"forward": forward, "backward": clock.between(middle, end), "both": clock.between(begin, end)}

    return measure


def _cpu_bound(shape: Shape, settings: Settings) -> Contestant:
    from posemamba.benchmark.bound import BareLoop

    loop = BareLoop(shape.chains, shape.tokens, settings.threads)

    def measure(clock: Clock) -> dict[str, float]:
        begin = clock.start()
        loop()
        return {"forward": clock.between(begin, clock.mark())}

    counted = loop.count()
    row = {"name": "lower bound", "kind": "bound", "exponentials": counted, "multiply_adds": counted}
    return Contestant("lower bound", measure, row)


def _cuda_bound(shape: Shape) -> dict:
    try:
        from posemamba.benchmark.bound_cuda import bounds

        return bounds(shape)
    except Exception as error:  # no Triton, or one that cannot compile
        return {"failed": reason(error)}


def compare(rows: list[dict]) -> None:
    """Give each row its ratios of medians: to the best of the backends and peers, and to the lower bound."""
    bound = next((row for row in rows if row["kind"] == "bound"), {})
    others = [row for row in rows if row["kind"] != "bound" and row.get("seconds")]
    for row in others:
        row["to_best"] = {
            part: figures["median"]
            / min(o["seconds"][part]["median"] for o in others if part in o["seconds"])
            for part, figures in row["seconds"].items()
        }
        row["to_bound"] = {
            part: figures["median"] / bound["seconds"][part]["median"]
            for part, figures in row["seconds"].items()
            if part in bound.get("seconds", ())
        }


def agreement(scan: Scan, shape: Shape, settings: Settings) -> dict:
    """How far y and the gradients are, in relative norm, from the same scan in float64, on one sequence."""
    one = Shape(**asdict(shape) | {"batch": 1})
    try:
        values, cotangent = one.inputs(settings.device, settings.seed)
        mine = _results(scan.call, values, cotangent)
        # The kernels in float64 on the CPU, or where there are none the tree.
        wide = [value.detach().cpu().double() for value in (*values, cotangent)]
        truth = _results(selective_scan, wide[:-1], wide[-1])
    except Exception as error:  # a stranger's code may raise anything
        return {"failed": reason(error)}
    errors = {
        name: float((a.cpu().double() - b).norm() / b.norm())
        for name, a, b in zip(("y", *NAMES), mine, truth, strict=True)
    }
    finite = {name: error if error < float("inf") else None for name, error in errors.items()}
    return {"errors": finite, "agrees": all(error < TOLERANCE[shape.dtype] for error in errors.values())}


def _results(call: Callable[..., Tensor], values: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    leaves = [value.detach().requires_grad_() for value in values]
    y = call(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, cotangent)]


def memory(scan: Scan, shape: Shape, settings: Settings) -> dict:
    """Peak bytes over what the inputs take: "forward" without gradients, "both" with them; also in
    multiples of the output's and the inputs' bytes."""
    arguments = dict(name=scan.name, shape=asdict(shape), device=settings.device)
    arguments |= dict(seed=settings.seed, threads=settings.threads)
    try:
        if settings.device == "cpu":
            found = isolated.call("posemamba.benchmark.scans:measure_memory", **arguments)
        else:  # the allocator knows what is whose; no need for a process
            found = measure_memory(**arguments)
    except isolated.Failed as error:
        return {"failed": str(error)}
    except Exception as error:  # out of memory, or whatever a stranger's code raises
        return {"failed": reason(error)}
    free, most = available(settings.device), found["both"]["bytes"]
    if free is not None and most > 0.8 * free:
        found["failed"] = f"needs {most / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free"
    return found


def measure_memory(name: str, shape: dict, device: str, seed: int, threads: int) -> dict:
    """`memory`'s work, in a process of its own: after a small scan that loads and compiles everything."""
    torch.set_num_threads(threads)
    size = Shape(**shape)
    call = next(scan.call for scan, _ in everybody() if scan.name == name)
    small = Shape(**shape | {"tokens": min(size.tokens, 8), "batch": 1}).inputs(device, seed)
    with torch.no_grad():
        call(*small[0])
    _results(call, *small)
    values, cotangent = size.inputs(device, seed)
    leaves = [value.detach().requires_grad_() for value in values]
    with Peak(device) as forward, torch.no_grad():
        y = call(*values)
    del y
    with Peak(device) as both:
        y = call(*leaves)
        torch.autograd.grad(y, leaves, cotangent)
    return {
        part: {
            "bytes": peak.bytes,
            "of_output": peak.bytes / size.bytes()["output"],
            "of_inputs": peak.bytes / size.bytes()["inputs"],
        }
        for part, peak in (("forward", forward), ("both", both))
    } | {"method": both.method}


def copies(settings: Settings) -> dict:
    """Bytes a second that torch's copy reads and writes, from 256 MiB to 256 MiB."""
    source = torch.ones((1 if settings.quick else 256) * 2**18)
    target = torch.empty_like(source)

    def measure(clock: Clock) -> dict[str, float]:
        begin = clock.start()
        target.copy_(source)
        return {"copy": clock.between(begin, clock.mark())}

    timing = interleave([Contestant("copy", measure)], "cpu", settings.rounds)["copy"].figures()
    both_ways = 2 * source.nbytes
    return timing | {"bytes": both_ways, "bytes_a_second": both_ways / timing["seconds"]["copy"]["median"]}


def by_threads(shape: Shape, settings: Settings, log: Callable[[str], None]) -> dict:
    """The automatic backend's times with 1, 2, 4, ... threads in turns, and whether its results stay the
    same to the bit."""
    counts = sorted({settings.threads, *(2**i for i in range(10) if 2**i < settings.threads)})
    values, cotangent = shape.inputs("cpu", settings.seed)
    measure, results, before = stopwatch(selective_scan, values, cotangent), [], torch.get_num_threads()

    def with_threads(count: int) -> Callable:
        def limited(clock: Clock) -> dict[str, float]:
            torch.set_num_threads(count)
            return measure(clock)

        return limited

    try:
        for count in counts:
            torch.set_num_threads(count)
            results.append(_results(selective_scan, values, cotangent))
        same = all(torch.equal(a, b) for found in results for a, b in zip(results[0], found, strict=True))
        contestants = [Contestant(str(count), with_threads(count)) for count in counts]
        timings = interleave(contestants, "cpu", settings.rounds, settings.budget, log)
    except Exception as error:  # as everywhere: recorded, and the run goes on
        return {"shape": asdict(shape), "failed": reason(error), "rows": []}
    finally:
        torch.set_num_threads(before)
    rows = [{"threads": count} | timings[str(count)].figures() for count in counts]
    return {"shape": asdict(shape), "rows": rows, "bitwise_equal": same}


def first_calls(settings: Settings) -> dict:
    """The first use in a fresh process, `import posemamba.scan` included: with an empty cache, where
    everything is compiled, and once more."""
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        caches = ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
        for name in ("empty_cache", "full_cache"):
            try:
                found[name] = isolated.call(
                    "posemamba.benchmark.first_call:first_call",
                    dict.fromkeys(caches, folder),
                    shape=asdict(QUICK_SHAPES[0]),
                    device=settings.device,
                )
            except isolated.Failed as error:
                found[name] = {"failed": str(error)}
    return found
