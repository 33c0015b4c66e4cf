"""The networks of MotionAGFormer and of MotionBERT, from checkouts of their repositories.

    posemamba benchmark --peer figures/benchmark/peers.py

times those beside ours whose checkouts lie beside this one. Their code is imported and run.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

import yaml
from torch import nn

from posemamba import record
from posemamba.model import DropPath

#: What a checkout must have, the module of its network, and its networks' settings.
PEERS = {
    "MotionAGFormer": (
        "model/MotionAGFormer.py",
        {
            "MotionAGFormer-L": "configs/h36m/MotionAGFormer-large.yaml",
            "MotionAGFormer-S": "configs/h36m/MotionAGFormer-small.yaml",
        },
    ),
    "MotionBERT": ("lib/model/DSTformer.py", {"MotionBERT": "configs/pose3d/MB_ft_h36m.yaml"}),
}


class Peer:
    """A checkout of other authors' networks; finding out which runs nothing of it.

    Attributes:
        name: one of `PEERS`.
        path: the folder.
        networks: names, and where in the folder their settings are.

    Raises:
        ValueError: the folder is none.
    """

    def __init__(self, path: str | PathLike):
        self.path = Path(path).resolve()
        there = [name for name, (file, _) in PEERS.items() if (self.path / file).is_file()]
        if not there:
            files = " or ".join(file for file, _ in PEERS.values())
            raise ValueError(f"{path}: expected a checkout of {' or '.join(PEERS)}, found no {files} in it")
        self.name = there[0]
        self.networks = {name: at for name, at in PEERS[self.name][1].items() if (self.path / at).is_file()}
        if not self.networks:
            raise ValueError(f"{path}: {self.name} without {' or '.join(PEERS[self.name][1].values())}")

    def described(self) -> dict:
        """For a record: its name and commit, never its path."""
        return {"name": self.name, "commit": record.commit(self.path)}

    def makers(self) -> dict[str, Callable[[int], nn.Module]]:
        """By name, what builds a network."""
        return {name: partial(self.build, name) for name in self.networks}

    def build(self, name: str, frames: int) -> nn.Module:
        """A network with random weights, from its own settings, that takes x, y and a confidence.

        This imports the checkout's code, that is, runs it. Its modules (`model`, `lib`, `timm`, ...) are
        forgotten afterwards, so that they shadow nobody's. Raises whatever that code raises.
        """
        settings = yaml.safe_load((self.path / self.networks[name]).read_text(encoding="utf-8"))
        module = PEERS[self.name][0].removesuffix(".py").replace("/", ".")
        path, before, writes = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
        mine = [name for name in before if name.split(".")[0] in ("model", "lib", "utils")]
        for found in mine:
            del sys.modules[found]
        if find_spec("timm") is None:  # one name of it is needed, and with these settings never called
            for found in ("timm", "timm.models", "timm.models.layers", "timm.layers"):
                stand_in = sys.modules[found] = type(sys)(found)
                stand_in.DropPath, stand_in.__path__ = DropPath, []
        sys.path.insert(0, str(self.path))
        sys.dont_write_bytecode = True  # nothing is left in the checkout
        try:
            made = getattr(importlib.import_module(module), module.split(".")[-1])
            taken = {key: settings[key] for key in inspect.signature(made).parameters if key in settings}
            if self.name == "MotionAGFormer":
                activation = {"gelu": nn.GELU, "relu": nn.ReLU}[settings.get("act_layer", "gelu")]
                return made(**taken | {"act_layer": activation, "n_frames": frames}).eval()
            # Three numbers in and out, and this norm, stand in its code and not in its settings.
            taken |= dict(dim_in=3, dim_out=3, norm_layer=partial(nn.LayerNorm, eps=1e-6))
            return made(**taken | {"maxlen": max(frames, settings.get("maxlen", frames))}).eval()
        finally:
            sys.path[:], sys.dont_write_bytecode = path, writes
            for found in sys.modules.keys() - before.keys():
                if found.split(".")[0] in ("model", "lib", "utils", "timm"):
                    del sys.modules[found]
            sys.modules.update({found: before[found] for found in mine})


BESIDE = [Path(__file__).resolve().parents[3] / name for name in PEERS]
#: What `posemamba benchmark --peer` reads: by name, what builds a network for so many frames.
NETWORKS = {name: make for path in BESIDE if path.is_dir() for name, make in Peer(path).makers().items()}
