"""Weights in and out: the authors' released checkpoints, and folders in the Hugging Face Hub's form."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from posemamba import orders, storage
from posemamba.config import PoseMambaConfig

#: The parts of released names that are called otherwise here: of the network, of a block, of its scan.
RELEASED_NAMES = {
    **dict(Spatial_patch_to_embedding="embed", STEblocks="spatial_blocks", TTEblocks="temporal_blocks"),
    **dict(Spatial_pos_embed="joint_position", Temporal_pos_embed="frame_position"),
    **dict(Spatial_norm="spatial_norm", Temporal_norm="temporal_norm", norm2="mlp_norm", fc1="0", fc2="2"),
    **dict(op="ssm", conv2d="conv", out_norm="norm", A_logs="A_log", Ds="skip"),
    **dict(x_proj_weight="select", dt_projs_weight="step", dt_projs_bias="step_bias"),
}

# Where people keep the weights inside a checkpoint: the release, and the habits of others.
_WRAPPINGS = ("model_pos", "model", "state_dict", "model_state_dict")
_SETTINGS = {field.name for field in fields(PoseMambaConfig)}


def our_name(released: str) -> str:
    """The name in `PoseMamba` of a weight of the released network."""
    return ".".join(RELEASED_NAMES.get(part, part) for part in released.split("."))


def _weights_of(checkpoint: dict, where: str) -> dict[str, Tensor]:
    inner = (checkpoint[name] for name in _WRAPPINGS if isinstance(checkpoint.get(name), dict))
    checkpoint = next(inner, checkpoint)
    weights = {}
    for name, value in checkpoint.items():
        value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        if isinstance(name, str) and isinstance(value, Tensor):
            weights[name.removeprefix("module.")] = value
    if "Spatial_pos_embed" not in weights or "Temporal_pos_embed" not in weights:
        found = ", ".join(sorted(map(str, checkpoint))[:4]) or "nothing"
        wanted = "expected Spatial_pos_embed, ..."
        raise ValueError(f"{where}: not a released PoseMamba checkpoint; {wanted}, found {found}")
    return weights


def load_released(cls: type[nn.Module], source: str | Path | dict, **changes) -> nn.Module:
    """A network with the authors' weights.

    Args:
        source: the checkpoint file as published (a torch file; it is read without running anything in it),
            or the dictionary in it, in any of its wrappings (`model_pos`, `module.` prefixes, or bare).
        changes: settings that weights do not tell: scan, gradient, drop_path. Frames, joints, channels,
            depth and state come from the weights' shapes.

    Raises:
        FileNotFoundError, ValueError: no such file, or not such a checkpoint; one sentence says which.
    """
    given = isinstance(source, dict)
    where = "the checkpoint given" if given else str(source)
    weights = _weights_of(source if given else storage.read_checkpoint(source), where)
    for name in sorted(changes):
        if name not in _SETTINGS:
            raise ValueError(f"unknown setting {name!r} for a released checkpoint")
        if name in ("frames", "joints", "channels", "depth", "state"):
            raise ValueError(f"{name} is read from the weights and cannot be set for a released checkpoint")
    try:
        frames, channels = weights["Temporal_pos_embed"].shape[1], weights["Temporal_pos_embed"].shape[2]
        joints = weights["Spatial_pos_embed"].shape[1]
        depth = 2 * len({name.split(".")[1] for name in weights if name.startswith("STEblocks.")})
        state, K = weights["STEblocks.0.op.A_logs"].shape[1], weights["STEblocks.0.op.dt_projs_bias"].shape[0]
    except KeyError as error:
        raise ValueError(f"{where}: the released weights are incomplete, {error} is missing") from None
    except IndexError:
        raise ValueError(f"{where}: a released weight has too few dimensions") from None
    config = PoseMambaConfig(frames, joints, depth, channels, state, **changes)
    if (count := len(orders.directions(config.scan))) != K:
        raise ValueError(f"{where}: scan {config.scan!r} has {count} directions, the released weights {K}")
    model = cls(config)
    _fill(model, {our_name(name): value for name, value in weights.items()}, where, reshape=True)
    return model


def _fill(model: nn.Module, weights: dict[str, Tensor], where: str, reshape: bool = False) -> None:
    """Copy weights into a model, or say in one sentence what does not fit."""
    ours = model.state_dict()
    for odd, fault in ((set(ours) - set(weights), "missing"), (set(weights) - set(ours), "not PoseMamba's")):
        if odd:
            raise ValueError(f"{where}: {len(odd)} weights are {fault}, first {min(odd)}")
    for name, mine in ours.items():
        value = weights[name]
        if reshape and name.endswith(("_position", ".A_log", ".skip")):
            # The release keeps positions with a leading 1, and A_log and skip as (4D, N) and (4D,).
            stored = (1, *mine.shape) if name.endswith("_position") else mine.flatten(0, 1).shape
            value = value.reshape(mine.shape) if value.shape == stored else value
        if value.shape != mine.shape:
            raise ValueError(f"{where}: {name} has shape {tuple(value.shape)}, expected {tuple(mine.shape)}")
        if not value.is_floating_point():
            raise ValueError(f"{where}: {name} holds {value.dtype}, expected floating-point numbers")
        if not torch.isfinite(value).all():
            raise ValueError(f"{where}: {name} holds NaN or infinity")
        weights[name] = value.to(mine.dtype)
    model.load_state_dict(weights)


def save_pretrained(model: nn.Module, folder: str | Path, **about: Any) -> None:
    """Write `model.safetensors` and `config.json` into a folder, which is made, each whole or not at all.

    Further plain values are kept in config.json under "about".
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder to save the model in, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    settings = {"model_type": "posemamba", **asdict(model.config)}
    # Both are whole before either takes its place, so that a failure leaves the model that was there.
    whole = storage.atomic_path
    with whole(folder / "model.safetensors") as path, whole(folder / "config.json") as config_path:
        path.write_bytes(save(weights, metadata={"format": "pt"}))
        storage.write_json(config_path, {**settings, "about": about} if about else settings)


def kept() -> list[str]:
    """The names of the networks that ship with the package."""
    return sorted(file.parent.name for file in storage.asset("").glob("*/model.safetensors"))


def load_pretrained(cls: type[nn.Module], source: str | Path) -> nn.Module:
    """A network from a folder that `save_pretrained` wrote, a kept one, or from the Hub; its `about` is that
    of the folder.

    Args:
        source: the folder. Where there is none: the name of a network that ships with the package, such as
            "small_cmu"; or one on the Hub, such as "someone/posemamba-s".

    Raises:
        FileNotFoundError, ValueError: a file is missing, or is not what it should be.
    """
    folder = Path(source)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(str(source), allow_patterns=["config.json", "model.safetensors"]))
        except Exception as error:  # the hub's client raises many kinds; a reader needs one sentence
            reason = json.dumps(str(error).splitlines()[0] if str(error) else type(error).__name__)
            fault = f"no such folder here, and it could not be fetched from the Hugging Face Hub ({reason})"
            raise FileNotFoundError(f"{source}: {fault}") from None
    if not folder.exists() and source in kept():
        folder = storage.asset(str(source))
    if not folder.is_dir():
        wanted = f"one that save_pretrained wrote, or a kept network's name: {', '.join(kept())}"
        raise FileNotFoundError(f"{source}: no such folder; expected {wanted}")
    path, weights_path = folder / "config.json", folder / "model.safetensors"
    for file in (path, weights_path):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; expected a folder that save_pretrained wrote")
    settings = storage.read_json(path)
    if not isinstance(settings, dict) or settings.get("model_type") != "posemamba":
        raise ValueError(f"{path}: not the settings of a PoseMamba (model_type is not 'posemamba')")
    given = {name: value for name, value in settings.items() if name not in ("model_type", "about")}
    needed = {"frames", "joints", "depth", "channels", "state", "scan"}
    for odd in sorted((set(given) - _SETTINGS) | (needed - set(given))):
        raise ValueError(f"{path}: {odd} {'is not a setting of PoseMamba' if odd in given else 'is missing'}")
    try:
        config = PoseMambaConfig(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        weights = load_file(weights_path)
    except (SafetensorError, OSError) as error:
        fault = f"not a readable safetensors file, truncated or of another kind ({error})"
        raise ValueError(f"{weights_path}: {fault}") from None
    model = cls(config)
    model.about = settings.get("about", {})
    _fill(model, weights, str(weights_path))
    return model
