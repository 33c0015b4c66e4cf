"""A network in training: one step of it, on one of the processes."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from posemamba import orders
from posemamba.losses import PoseLoss, pose_loss
from posemamba.model import DropPath, PoseMamba
from posemamba.training.config import TrainingConfig
from posemamba.training.data import units
from posemamba.training.faults import fault
from posemamba.training.feed import Feed
from posemamba.training.validation import RELEASED_UNIT

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def initial_model(config: TrainingConfig) -> PoseMamba:
    """The network that a run begins with: of chance, decided by the seed, or `initial.network`.

    Raises:
        ValueError: that network has another shape; what differs is named.
    """
    torch.manual_seed(config.seed)
    model = PoseMamba(config.model)
    if config.initial.network:
        first = PoseMamba.from_pretrained(config.initial.network)
        alike = ("frames", "joints", "depth", "channels", "state", "view", "joint_order")
        for name in (*alike, "millimetres_per_unit"):
            found, wanted = (getattr(each.config, name) for each in (first, model))
            if found != wanted:
                told = f"initial.network {config.initial.network} has {name} = {found!r}"
                raise ValueError(f"{told}, expected the run's, {wanted!r}")
        model.load_state_dict(first.state_dict())
    with torch.no_grad():
        model.embed.weight *= config.initial.input_gain
        model.head[1].weight *= config.initial.output_gain
    return model


def parameter_groups(model: nn.Module, weight_decay: float, decays: str = "matrices") -> list[dict]:
    """The parameters that decay ("matrices": of linear maps and convolutions; or "all"), and the others."""
    kept = ("A_log", "skip", "step_bias", "joint_position", "frame_position")
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim > 1 and not name.endswith(kept)
        groups[matrix or decays == "all"].append(parameter)
    return [dict(params=groups[kind], weight_decay=weight_decay * kind) for kind in (True, False)]


class Learner:
    """A network in training on this process's device, with its optimiser, running mean and scaler."""

    def __init__(self, config: TrainingConfig, rows: slice, fabric: "Fabric", compile: bool, graphs: bool):
        settings, self.config, self.fabric, self.graphs = config.optimizer, config, fabric, graphs
        self.model = model = fabric.to_device(initial_model(config))
        averaging = get_ema_multi_avg_fn(settings.ema) if settings.ema else None
        self.mean = AveragedModel(model, multi_avg_fn=averaging) if settings.ema else None
        # Which rows of the step's batch each part is: those worked on here, and those of all processes.
        share = rows.stop - rows.start
        whole = torch.arange(share * fabric.world_size, device=fabric.device)
        self.parts = whole[rows].split(share // settings.accumulate)
        self.all_parts = whole.split(share // settings.accumulate)
        if graphs:
            _graph(model, self.parts[0], fabric, compile)
        groups = parameter_groups(model, settings.weight_decay, settings.decays)
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2))
        network = torch.compile(model, dynamic=False) if compile else model
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.network.train()
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)
        parts = dict(model=model, optimizer=self.optimizer, mean=self.mean, scaler=self.scaler)
        self._parts = {name: part for name, part in parts.items() if part is not None}

    @property
    def best(self) -> PoseMamba:
        """What is validated and kept in the end."""
        return self.model if self.mean is None else self.mean.module

    def state(self) -> dict:
        """What a checkpoint keeps."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def restore(self, state: dict, path: Path) -> None:
        """Go on from a checkpoint's state. ValueError naming the path where it does not fit."""
        decays = [group["weight_decay"] for group in self.optimizer.param_groups]
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: holds a network of another shape than config.yaml") from None
        for group, decay in zip(self.optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay

    def step(self, step: int, feed: Feed) -> dict[str, float]:
        """Change the weights once; what the step's loss and gradient were, over all parts and processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate_at(step)
        batch, figures = feed.batch(step), 0
        for number, rows in enumerate(self.parts, 1):
            waits = number < len(self.parts) and self.fabric.world_size > 1
            with self.fabric.no_backward_sync(self.network, enabled=waits):
                part = [each[(number - 1) * len(rows) :][: len(rows)] for each in batch]
                loss = self._loss(self.network, step, part, rows)
                self.fabric.backward(loss.total / len(self.parts))
            figures = figures + torch.stack([loss.total, *loss.terms.values()]).detach() / len(self.parts)
        rules = dict(max_norm=self.config.optimizer.clip_norm or math.inf, error_if_nonfinite=False)
        norm = self.fabric.clip_gradients(self.network, self.optimizer, **rules)
        if self.fabric.world_size > 1:
            figures = self.fabric.all_reduce(figures)
        total, *terms, norm = torch.cat([figures, norm[None].to(figures)]).tolist()
        # The scaler of 16-bit floats tries how far it can go: where it went too far it leaves a step out.
        tried = self.scaler is not None and math.isfinite(total) and self.scaler.get_scale() >= 1
        if not math.isfinite(norm) and not tried:
            why = self._explain(step, feed)
            raise FloatingPointError(f"the gradient of step {step} is not finite: {why}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=not self.graphs)
        if self.mean is not None:
            self.mean.update_parameters(self.model)
        found = {f"loss/{name}": value for name, value in zip(loss.terms, terms, strict=True)}
        millimetres = self.config.model.millimetres_per_unit or RELEASED_UNIT
        found |= dict(mpjpe_mm=found["loss/mpjpe"] * millimetres, gradient_norm=norm)
        return dict(loss=total) | found

    def any(self, asked: list) -> bool:
        """Whether any process was asked to stop."""
        if self.fabric.world_size == 1:
            return bool(asked)
        flag = torch.tensor(float(bool(asked)), device=self.fabric.device)
        return float(self.fabric.all_reduce(flag, reduce_op="sum")) > 0

    def _loss(self, network: nn.Module, step: int, batch: Sequence[Tensor], rows: Tensor) -> PoseLoss:
        """The loss of some rows of a step's batch."""
        if len(self.all_parts) > 1:
            for module in network.modules():
                if isinstance(module, DropPath):
                    module.part = sum(map(len, self.all_parts)), rows
        torch.manual_seed(hash((self.config.seed, step)) & 0x7FFFFFFF)  # for drop path
        inputs, targets = batch
        with self.fabric.autocast():
            answers = network(inputs)
        return pose_loss(answers.float(), targets / units(self.config), self.config.loss)

    def _explain(self, step: int, feed: Feed) -> str:
        if self.fabric.global_rank > 0:
            return "process 0 says where"
        model, batch = copy.deepcopy(self.model), feed.windows.batch(step)
        vars(model).pop("forward", None)  # that of CUDA graphs

        def again(rows: Tensor) -> None:
            part = [self.fabric.to_device(each[rows.cpu()]) for each in batch]
            self._loss(model, step, part, rows).total.backward()

        said = (fault(model, partial(again, rows)) for rows in self.all_parts)
        return f"{next(filter(None, said), 'no block is to blame')}; try a smaller learning rate"


def _graph(model: PoseMamba, rows: Tensor, fabric: "Fabric", compile: bool) -> None:
    """Have the model replay CUDA graphs of its pass and of the way back, for batches of so many rows."""
    if fabric.device.type != "cuda" or fabric.world_size > 1 or compile:
        found = f"{fabric.world_size} of {fabric.device.type}" + (" with compile" if compile else "")
        raise ValueError(f"graphs needs one CUDA device and no compile, found {found}")
    sample = torch.zeros(len(rows), model.config.frames, model.config.joints, 2, device=fabric.device)
    with fabric.autocast():
        torch.cuda.make_graphed_callables(model.train(), (sample,))
    # The graphs read these tables where they stand now, so they must outlive what `orders` remembers.
    where = model.config.scan, model.config.frames, model.config.joints, sample.device
    model.graphed = orders.tables(*where), orders.mixing(where[0], sample.device)
    for parameter in model.parameters():  # gradients are added to these: a graph's own are overwritten
        parameter.grad = torch.zeros_like(parameter)
