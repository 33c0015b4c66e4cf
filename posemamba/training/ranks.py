"""Several processes that train one network together: those of torchrun, or begun from here.

Rank 0 is the process that was called. It alone writes, logs and speaks. Each rank works on its rows of a
step's batch, and their gradients are averaged.
"""

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(minutes=10)  # after which a rank gives up on another that is silent
_CODE = "from posemamba.training.ranks import _serve; _serve()"
_MEETING = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")


class Place(NamedTuple):
    """Which process this is, and of how many."""

    rank: int = 0
    world: int = 1


def launched() -> Place | None:
    """This process's place where torchrun began it, else None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return None


@contextmanager
def together(devices: int, function: Callable, *arguments) -> Iterator[Place]:
    """The place of this process. Where torchrun began no others, `devices - 1` are begun, which run
    `function(place, *arguments)` and end with this one, however it ends.

    Args:
        devices: how many processes there are in all; torchrun's number wins.
        function: of a module, since it is sent to the others with its arguments.

    Raises:
        ChildProcessError: another process ended, or was silent for `PATIENCE`, while it was needed.
    """
    place, others = launched() or Place(0, devices), []
    before, threads = {name: os.environ.get(name) for name in _MEETING}, torch.get_num_threads()
    try:
        if place.world > 1 and launched() is None:
            torch.set_num_threads(max(1, threads // devices))
            others += _begin(devices, pickle.dumps((torch.get_num_threads(), devices, function, arguments)))
        yield place
        for other in others:
            with suppress(subprocess.TimeoutExpired):
                other.wait(PATIENCE.total_seconds())
    except Exception as error:
        if not _lost(error):
            raise
        # Gloo's thread has failed work to take apart, and needs the GIL for it. Who takes the group apart
        # holds the GIL and waits for that thread. So it has its turn first.
        time.sleep(0.5)
        raise ChildProcessError(
            f"{_ended(others)}; what was saved stays, the same command goes on"
        ) from error
    finally:
        for other in others:
            other.kill()
            other.wait()
            with suppress(OSError):
                other.stdin.close()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def join(place: Place, device: str, precision: str) -> "Fabric":
    """Lightning Fabric on this process's device, when all processes are there."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Grad strides do not match bucket")  # a dimension of 1 has any stride
    ways, found = dict(accelerator=device, devices=1, precision=precision), torch.accelerator.is_available()
    if precision == "16-mixed" and (device == "cpu" or (device == "auto" and not found)):
        ways |= dict(precision=None, plugins=MixedPrecision(precision, "cpu"))  # Fabric itself takes bf16
    if place.world > 1:
        elastic = launched() is not None
        meeting = TorchElasticEnvironment() if elastic else LightningEnvironment()
        local = int(os.environ["LOCAL_WORLD_SIZE"]) if elastic else place.world
        ways |= dict(devices=local, num_nodes=place.world // local)

        class Begun(DDPStrategy):
            def _configure_launcher(self) -> None:
                """The processes are there: Fabric's own launcher would refuse to work in a notebook."""

        ways["strategy"] = Begun(cluster_environment=meeting, timeout=PATIENCE)
    fabric = Fabric(**ways)
    fabric.launch()
    return fabric


def _begin(devices: int, content: bytes) -> list[subprocess.Popen]:
    """Begin ranks 1 and up. What they do comes through their standard input, whose end is that of rank 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]), LOCAL_RANK="0")
    path, others = os.pathsep.join(part or os.getcwd() for part in sys.path), []
    for rank in range(1, devices):
        environment = os.environ | dict(LOCAL_RANK=str(rank), PYTHONPATH=path)
        command = [sys.executable, "-c", _CODE]
        others.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE))
    for other in others:
        with suppress(BrokenPipeError):  # one that died at once is missed soon enough
            other.stdin.write(content)
            other.stdin.flush()
    return others


def _serve() -> None:
    """What a process that `_begin` began does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; rank 0 tells when to stop
    threads, world, function, arguments = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(threads)

    def end_with_rank_0() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=end_with_rank_0, daemon=True).start()
    try:
        function(Place(int(os.environ["LOCAL_RANK"]), world), *arguments)
    except Exception as error:  # rank 0 finds out by itself, and says so
        if not _lost(error) and not isinstance(error, ValueError | OSError | FloatingPointError):
            raise
        sys.exit(2)


def _lost(error: BaseException) -> bool:
    """Whether this says that another process is not there any more."""
    if isinstance(error, torch.OutOfMemoryError) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()


def _ended(others: list[subprocess.Popen]) -> str:
    for rank, other in enumerate(others, 1):
        with suppress(subprocess.TimeoutExpired):
            code = other.wait(2)
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            return f"process {rank} of {len(others) + 1} ended {how}"
    return "another process of this training ended, or does not answer"
