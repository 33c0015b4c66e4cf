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

#: The released names, as patterns, and ours. The release keeps A_log and the skip
#: as (4D, N) and (4D,), and the positions with a leading 1; all else has our shapes.
RELEASED_NAMES = (
    (r"Spatial_patch_to_embedding\.(\w+)", r"embed.\1"),
    (r"Spatial_pos_embed", r"joint_position"),
    (r"Temporal_pos_embed", r"frame_position"),
    (r"STEblocks\.(\d+)\.", r"spatial_blocks.\1."),
    (r"TTEblocks\.(\d+)\.", r"temporal_blocks.\1."),
    (r"Spatial_norm\.(\w+)", r"spatial_norm.\1"),
    (r"Temporal_norm\.(\w+)", r"temporal_norm.\1"),
    (r"\.norm2\.", r".mlp_norm."),
    (r"\.mlp\.fc1\.", r".mlp.0."),
    (r"\.mlp\.fc2\.", r".mlp.2."),
    (r"\.op\.conv2d\.", r".ssm.conv."),
    (r"\.op\.x_proj_weight", r".ssm.select"),
    (r"\.op\.dt_projs_weight", r".ssm.step"),
    (r"\.op\.dt_projs_bias", r".ssm.step_bias"),
    (r"\.op\.A_logs", r".ssm.A_log"),
    (r"\.op\.Ds", r".ssm.skip"),
    (r"\.op\.out_norm\.", r".ssm.norm."),
    (r"\.op\.", r".ssm."),
)

# Where people keep the weights inside a checkpoint: the release, and the habits of others.
_WRAPPINGS = ("model_pos", "model", "state_dict", "model_state_dict")


def our_name(released: str) -> str:
    """The name in `PoseMamba` of a weight of the released network."""
    for pattern, ours in RELEASED_NAMES:
        released = re.sub(("^" if pattern[0] in "ST" else "") + pattern, ours, released)
    return released


def _weights_of(checkpoint: dict, where: str) -> dict[str, Tensor]:
    for name in _WRAPPINGS:
        if isinstance(checkpoint.get(name), dict):
            checkpoint = checkpoint[name]
            break
    weights = {}
    for name, value in checkpoint.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if isinstance(name, str) and isinstance(value, Tensor):
            weights[name.removeprefix("module.")] = value
    if "Spatial_pos_embed" not in weights or "Temporal_pos_embed" not in weights:
        found = ", ".join(sorted(map(str, checkpoint))[:4]) or "nothing"
        raise ValueError(
            f"{where}: not a released PoseMamba checkpoint; expected Spatial_pos_embed, ..., found {found}"
        )
    return weights


def load_released(cls: type[nn.Module], source: str | Path | dict, **changes) -> nn.Module:
    """A network with the authors' weights.

    Args:
        source: the checkpoint file as published (a torch file; it is read without running anything in it),
            or the dictionary that such a file holds, in any of its wrappings (`model_pos`, `module.`
            prefixes, or bare).
        changes: settings that weights do not tell: scan, gradient, drop_path. Frames, joints, channels,
            depth and state come from the weights' shapes.

    Raises:
        FileNotFoundError, ValueError: no such file, or not such a checkpoint; one sentence says which.
    """
    if isinstance(source, dict):
        where, checkpoint = "the checkpoint given", source
    else:
        where, checkpoint = str(source), storage.read_checkpoint(source)
    weights = _weights_of(checkpoint, where)
    if unknown := set(changes) - {field.name for field in fields(PoseMambaConfig)}:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r} for a released checkpoint")
    taken = {"frames", "joints", "channels", "depth", "state"} & set(changes)
    if taken:
        raise ValueError(
            f"{sorted(taken)[0]} is read from the weights and cannot be set for a released checkpoint"
        )
    try:
        frames, channels = weights["Temporal_pos_embed"].shape[1], weights["Temporal_pos_embed"].shape[2]
        joints = weights["Spatial_pos_embed"].shape[1]
        pairs = len({name.split(".")[1] for name in weights if name.startswith("STEblocks.")})
        state, K = weights["STEblocks.0.op.A_logs"].shape[1], weights["STEblocks.0.op.dt_projs_bias"].shape[0]
        config = PoseMambaConfig(
            frames=frames, joints=joints, channels=channels, depth=2 * pairs, state=state, **changes
        )
        if len(orders.directions(config.scan)) != K:
            found = f"scan {config.scan!r} has {len(orders.directions(config.scan))} directions"
            raise ValueError(f"{where}: {found}, the released weights {K}")
    except KeyError as error:
        raise ValueError(f"{where}: the released weights are incomplete, {error} is missing") from None
    except IndexError:
        raise ValueError(f"{where}: a released weight has too few dimensions") from None
    model = cls(config)
    renamed = {our_name(name): value for name, value in weights.items()}
    _fill(model, renamed, where, reshape=True)
    return model


def _fill(model: nn.Module, weights: dict[str, Tensor], where: str, reshape: bool = False) -> None:
    """Copy weights into a model, or say in one sentence what does not fit."""
    ours = model.state_dict()
    if missing := sorted(set(ours) - set(weights)):
        raise ValueError(f"{where}: {len(missing)} weights are missing, first {missing[0]}")
    if extra := sorted(set(weights) - set(ours)):
        raise ValueError(f"{where}: {len(extra)} weights are not PoseMamba's, first {extra[0]}")
    for name, mine in ours.items():
        value = weights[name]
        if reshape and value.shape == _released_shape(name, mine.shape):
            value = value.reshape(mine.shape)
        if value.shape != mine.shape:
            raise ValueError(f"{where}: {name} has shape {tuple(value.shape)}, expected {tuple(mine.shape)}")
        if not value.is_floating_point():
            raise ValueError(f"{where}: {name} holds {value.dtype}, expected floating-point numbers")
        if not torch.isfinite(value).all():
            raise ValueError(f"{where}: {name} holds NaN or infinity")
        weights[name] = value.to(mine.dtype)
    model.load_state_dict(weights)


def _released_shape(name: str, shape: torch.Size) -> tuple[int, ...]:
    """The shape in which the release keeps one of our weights."""
    if name in ("joint_position", "frame_position"):
        return (1, *shape)
    return (shape[0] * shape[1], *shape[2:]) if name.endswith((".A_log", ".skip")) else tuple(shape)


def save_pretrained(model: nn.Module, folder: str | Path, **about: Any) -> None:
    """Write `model.safetensors` and `config.json` into a folder, each whole or not at all.

    Args:
        folder: made if it is not there.
        about: further plain values for config.json, kept under "about".
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder to save the model in, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    settings = {"model_type": "posemamba", **asdict(model.config)}
    # Both are whole before either takes its place, so that a failure leaves the model that was there.
    with (
        storage.atomic_path(folder / "model.safetensors") as path,
        storage.atomic_path(folder / "config.json") as config_path,
    ):
        path.write_bytes(save(weights, metadata={"format": "pt"}))
        storage.write_json(config_path, {**settings, "about": about} if about else settings)


def load_pretrained(cls: type[nn.Module], source: str | Path) -> nn.Module:
    """A network from a folder that `save_pretrained` wrote, or from the Hub.

    Args:
        source: the folder; or a name such as "someone/posemamba-s", fetched with huggingface_hub where no
            such folder exists.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or is not what it should be.
    """
    folder = Path(source)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        folder = _fetch(str(source))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{source}: no such folder; expected one with config.json and model.safetensors"
        )
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name}: no such file; expected a folder written by save_pretrained"
            )
    settings = storage.read_json(folder / "config.json")
    if not isinstance(settings, dict) or settings.get("model_type") != "posemamba":
        raise ValueError(
            f"{folder / 'config.json'}: not the settings of a PoseMamba (model_type is not 'posemamba')"
        )
    known = {field.name for field in fields(PoseMambaConfig)}
    given = {name: value for name, value in settings.items() if name not in ("model_type", "about")}
    if odd := sorted(
        (set(given) - known) | ({"frames", "joints", "depth", "channels", "state", "scan"} - set(given))
    ):
        what = "is not a setting of PoseMamba" if odd[0] in given else "is missing"
        raise ValueError(f"{folder / 'config.json'}: {odd[0]} {what}")
    try:
        config = PoseMambaConfig(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    path = folder / "model.safetensors"
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: not a readable safetensors file, truncated or of another kind ({error})"
        ) from None
    model = cls(config)
    _fill(model, weights, str(path))
    return model


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "model.safetensors"]))
    except Exception as error:  # the hub's client raises many kinds; a reader needs one sentence
        reason = json.dumps(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise FileNotFoundError(
            f"{name}: no such folder here, and it could not be fetched from the Hugging Face Hub ({reason})"
        ) from None
