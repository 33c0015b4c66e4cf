"""Networks of other authors, from a checkout that the user has: MotionAGFormer and MotionBERT.

Building one imports the checkout's code, that is, runs it. Their top-level packages are called `model`, `lib`
and `utils`: they are importable only while their network is built or run, and nothing of ours is shadowed.
Weights are random: only speed and memory are measured.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
import yaml
from torch import nn


@dataclass(frozen=True)
class Checkout:
    """A checkout that is known for what it is: its name, where it lies, and its networks' configurations."""

    name: str
    path: Path
    networks: dict[str, str]


@dataclass
class Network:
    """A network to be timed.

    Attributes:
        name: how its row is called.
        kind: "posemamba" or "peer".
        module: with random weights, ready to be called.
        channels: numbers a joint in its input: x, y, and for the peers the confidence.
        present: a context within which it must be called.
    """

    name: str
    kind: str
    module: nn.Module
    channels: int
    present: Callable[[], AbstractContextManager] = nullcontext

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())


# What a checkout must have, and its networks: a name and where its settings are.
_KNOWN = {
    "MotionAGFormer": (
        "model/MotionAGFormer.py",
        {
            "MotionAGFormer-L": "configs/h36m/MotionAGFormer-large.yaml",
            "MotionAGFormer-S": "configs/h36m/MotionAGFormer-small.yaml",
        },
    ),
    "MotionBERT": ("lib/model/DSTformer.py", {"MotionBERT": "configs/pose3d/MB_ft_h36m.yaml"}),
}
# Top-level names that the checkouts use for themselves; timm may have to be stood in for.
_THEIRS = ("model", "lib", "utils")
_STANDS_IN = ("timm", "timm.models", "timm.models.layers", "timm.layers")


def find(path: str | Path) -> Checkout:
    """See which checkout a folder is. Runs nothing of it. ValueError where it is none."""
    folder = Path(path)
    for name, (file, configs) in _KNOWN.items():
        if (folder / file).is_file():
            there = {network: config for network, config in configs.items() if (folder / config).is_file()}
            if not there:
                raise ValueError(f"{path}: a checkout of {name} without {' or '.join(configs.values())}")
            return Checkout(name, folder.resolve(), there)
    files = " or ".join(file for file, _ in _KNOWN.values())
    raise ValueError(f"{path}: expected a checkout of {' or '.join(_KNOWN)}, found no {files} in it")


def build(checkout: Checkout, name: str, frames: int, seed: int = 0) -> Network:
    """One of a checkout's networks, from its own settings, for sequences of some frames.

    Raises whatever the checkout's code raises.
    """
    text = (checkout.path / checkout.networks[name]).read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    torch.manual_seed(seed)
    modules: dict[str, ModuleType] = {}
    with present(checkout.path, modules):
        module = (
            _motionagformer(settings, frames) if "AGF" in checkout.name else _motionbert(settings, frames)
        )
    return Network(name, "peer", module.eval(), 3, partial(present, checkout.path, modules))


def _motionagformer(settings: dict, frames: int) -> nn.Module:
    made = importlib.import_module("model.MotionAGFormer").MotionAGFormer
    taken = {key: settings[key] for key in inspect.signature(made).parameters if key in settings}
    activation = {"gelu": nn.GELU, "relu": nn.ReLU}[settings.get("act_layer", "gelu")]
    return made(**taken | {"act_layer": activation, "n_frames": frames})


def _motionbert(settings: dict, frames: int) -> nn.Module:
    made = importlib.import_module("lib.model.DSTformer").DSTformer
    keys = ("dim_feat", "dim_rep", "depth", "num_heads", "mlp_ratio", "num_joints")
    taken = {key: settings[key] for key in keys if key in settings}
    length = max(frames, settings.get("maxlen", frames))
    # Three numbers in and out, and this norm, stand in its code and not in its settings.
    return made(dim_in=3, dim_out=3, maxlen=length, norm_layer=partial(nn.LayerNorm, eps=1e-6), **taken)


@contextmanager
def present(folder: Path, modules: dict[str, ModuleType]) -> Iterator[None]:
    """Within it, a checkout's packages can be imported; outside, all is as before.

    `modules` holds what was imported from there; it is filled, and used again the next time.
    """
    path, before, writes = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
    for name in list(sys.modules):
        if name.split(".")[0] in _THEIRS:
            del sys.modules[name]
    sys.modules.update(modules)
    if not modules and importlib.util.find_spec("timm") is None:
        sys.modules.update(_stand_ins())
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # nothing is left in the user's checkout
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in (*_THEIRS, "timm") and before.get(name) is not module:
                modules[name] = module
                del sys.modules[name]
        for name, module in before.items():
            if name.split(".")[0] in _THEIRS:
                sys.modules[name] = module


def _stand_ins() -> dict[str, ModuleType]:
    """MotionAGFormer takes one name from timm, DropPath. Where timm is not installed ours does as well: with
    the rates of its settings, 0, it is not even made."""
    from posemamba.model import DropPath

    made = {name: ModuleType(name) for name in _STANDS_IN}
    for module in made.values():
        module.__path__ = []  # a package, so that what lies in it can be imported
        module.DropPath = DropPath
    return made


def commit(checkout: Checkout) -> str | None:
    """The commit of a checkout that is a repository of its own."""
    from posemamba.benchmark.record import described

    return described(checkout.path)


def describe(checkout: Checkout) -> dict:
    """For the record: its name and commit, never its path."""
    return {"name": checkout.name, "commit": commit(checkout)}
