"""`posemamba evaluate`."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from posemamba.cli.terminal import Data, Progress, Seed, say

_INPUTS = {"detected": "detected", "gt": "joint3d_image", "projected": "projected"}
_WEIGHTS = {"last": "model", "test": "best_on_test", "subjects": "best_on_subjects"}
_CHOICES = dict(protocol=("auto", "h36m", "3dhp", "views"), inputs=(*_INPUTS,), weights=(*_WEIGHTS,))
_CHOICES |= dict(scored=("centre", "all"), table=(1, 3), format=("text", "markdown", "latex"))

Model = Annotated[str | None, Argument(help="A network's or a run's folder, or else the kept one.")]
Inputs = Annotated[str, Option(help="2D joints: detected, gt (the paper's ground truth) or projected.")]
Baselines = Annotated[bool | None, Option(help="views: beside the mean pose and ridge regression.")]
Save = Annotated[Path | None, Option("--json", "--save", help="Also write the figures to this file.")]


def evaluate(
    model: Model = None,
    data: Data = "synthetic",
    protocol: Annotated[str, Option(help="h36m, 3dhp, views (through cameras); auto: by the file.")] = "auto",
    released: Annotated[Path | None, Option(help="The authors' checkpoint file, instead of MODEL.")] = None,
    weights: Annotated[str, Option(help="Of a run: last, or best on test or subjects.")] = "last",
    inputs: Inputs = "detected",
    overwrite_xy: Annotated[bool, Option(help="h36m with gt: overwrite x and y, as released.")] = False,
    flip: Annotated[bool, Option(help="Average with the mirrored input's answer.")] = True,
    scored: Annotated[str, Option(help="3dhp: the centre frame of a window, or all.")] = "centre",
    views: Annotated[str, Option(help="Virtual cameras a window, or 'given': the file's own.")] = "",
    noise: Annotated[bool, Option(help="views: add a detector's errors to exact 2D joints.")] = False,
    wild: Annotated[bool, Option(help="views: cameras of every kind, and a poor detector's errors.")] = False,
    baselines: Baselines = None,
    fps: Annotated[float | None, Option(min=1, max=1000, help="views: frames a second.")] = None,
    seed: Seed = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda or mps.")] = "auto",
    save: Save = None,
    table: Annotated[int | None, Option(help="The paper's Table 1 or 3, with this network's row.")] = None,
    form: Annotated[str, Option("--format", help="Of the tables: text, markdown or latex.")] = "text",
) -> None:
    """Score a network on the test split, by Human3.6M's protocol, MPI-INF-3DHP's, or through cameras."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for training: threads that wait sleep

    import torch

    from posemamba import evaluation, record, storage
    from posemamba.evaluation import tables
    from posemamba.lifting import trained_fps
    from posemamba.model import PoseMamba
    from posemamba.motion import DetectorNoise, open_motion

    chosen = dict(protocol=protocol, inputs=inputs, weights=weights, scored=scored, table=table, format=form)
    for name, value in chosen.items():
        if value is not None and value not in _CHOICES[name]:
            raise ValueError(f"--{name} is {value!r}, expected one of {', '.join(map(str, _CHOICES[name]))}")
    if model is not None and released is not None:
        raise ValueError(f"{model} and --released {released}: expected one network")
    if save is not None and not save.absolute().parent.is_dir():  # now, and not after hours
        raise FileNotFoundError(f"cannot write {save}: the folder {save.parent} does not exist")
    if released is not None:
        network, name = PoseMamba.from_released(released), released.stem
    else:
        folder = storage.asset("small_cmu") if model is None else _folder(model, weights)
        parts = Path(model or folder).parts[-2:]  # "run/model", and of other folders the last part alone
        network = PoseMamba.from_pretrained(folder)
        name = "/".join(parts if parts[-1] in _WEIGHTS.values() else parts[-1:])
    try:
        network.to(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    except (RuntimeError, AssertionError):
        raise ValueError(f"--device is {device!r}, which torch has not here") from None
    clips, motion, frames = open_motion(data, seed=seed), Path(data).name, network.config.frames
    if protocol == "auto":
        protocol, why = _protocol(clips)
        say(f"Protocol: {protocol}, for {motion} {why}.")
    belong = {"h36m": {"--overwrite-xy": overwrite_xy, "--table 1": table == 1}}
    belong["3dhp"] = {"--scored": scored == "all", "--table 3": table == 3}
    belong["views"] = {"--noise": noise, "--views": views, "--baselines": baselines, "--fps": fps}
    belong["views"] |= {"--wild": wild}
    for owner, options in belong.items():
        for option, given in options.items():
            if given and protocol != owner:
                raise ValueError(f"{option} belongs to the protocol {owner}, found {protocol}")
    if protocol == "h36m":
        measure, rules = evaluation.h36m, dict(inputs=_INPUTS[inputs], overwrite=overwrite_xy, seed=seed)
    elif protocol == "3dhp":
        if inputs == "projected":
            raise ValueError("--inputs is 'projected', expected detected or gt, which 3dhp has as one")
        measure, rules = evaluation.mpi_inf_3dhp, dict(scored=scored)
    else:
        given = views == "given" or (not views and all(clip.joints is None for clip in clips))
        if not given and views and not (views.isdecimal() and int(views)):
            raise ValueError(f"--views is {views!r}, expected 1 or more, or 'given'")
        if baselines is None and frames > 81:  # ridge regression solves for all of a window's numbers
            say("Without baselines, which take long for windows of this length (--baselines).")
        rate = fps or (None if given else trained_fps(network))
        measure, rules = evaluation.views, dict(frames=frames, fps=rate, seed=seed)
        rules |= dict(views="given" if given else int(views or 4), noise=DetectorNoise() if noise else None)
        if wild:
            rules |= evaluation.WILD_VIEWS
        rules["inputs"] = "projected" if noise and inputs == "detected" else _INPUTS[inputs]
        rules["baselines"] = frames <= 81 if baselines is None else baselines
    with Progress(None) as bar:
        lifted = partial(bar.stage, "lifting test windows")
        report = measure(network, clips, flip=flip, progress=lifted, **rules)
    for sentence in _told(report.protocol):
        say(sentence)
    title = f"{name} on the test split of {motion}, protocol {protocol}"
    if table is not None:
        measured = f"{motion}, {report.protocol['scored_frames']:,} frames, posemamba evaluate"
        make = tables.table_1 if table == 1 else tables.table_3
        found = [make(report, network.config, name, measured)]
    elif protocol == "views":
        found = [tables.Table(title, ("", *report.scores), tables.rows(report))]
    else:
        found = [tables.by_action(report, title), tables.by_part(report, "By joint and by limb")]
    for each in found:
        print("\n" + each.render(form))
    if save is not None:
        words = ["posemamba", "evaluate", name, "--data", motion, "--protocol", protocol]
        where = next(network.parameters()).device.type
        head = record.head("errors of a network on a test split", words, [seed], where)
        storage.write_json(save, head | report.to_json())
        say(f"Written to {save}.")


def _folder(model: str, weights: str) -> str:
    """The network's folder, within a run's folder where it is that of a run."""
    folder = Path(model)
    if not folder.is_dir() or (folder / "config.json").is_file():
        if weights != "last":
            raise ValueError(f"{model}: --weights {weights} is of a run's folder, found none")
        return model
    there = [name for name in _WEIGHTS.values() if (folder / name).is_dir()]
    if _WEIGHTS[weights] not in there:
        found = f"it holds {', '.join(there)}" if there else "neither a network nor a run that has one"
        raise ValueError(f"{model}: no {_WEIGHTS[weights]} in this folder, {found}")
    return str(folder / _WEIGHTS[weights])


def _protocol(clips) -> tuple[str, str]:
    """Which protocol fits what a file holds, and why."""
    from posemamba.evaluation.human36m import ACTIONS
    from posemamba.evaluation.mpi import TARGET

    test = [clip for clip in clips if clip.split == "test" and clip.views]
    if test and all(TARGET in view.targets for clip in test for view in clip.views):
        return "3dhp", f"holds {TARGET}"
    if test and all(clip.action in ACTIONS and clip.subject in ("S9", "S11") for clip in test):
        return "h36m", "holds views of S9 and S11"
    return "views", "is neither Human3.6M nor MPI-INF-3DHP with views"


def _told(protocol: dict):
    """What was scored and what was not, a sentence each."""
    frames = f"{protocol['scored_frames']:,}"
    if protocol["name"] == "views":
        of = "the file's views" if protocol["views"] == "given" else f"{protocol['views']} virtual cameras"
        yield f"Scored {frames} frames through {of}, {protocol['inputs']} 2D joints."
        return
    yield f"Scored {frames} of {protocol['test_frames']:,} frames."
    if protocol["name"] == "h36m":
        over, left = protocol["dropped_frames"], protocol["blocked_frames"]
        whose = f" ({', '.join(protocol['blocked_clips'])})" if left else ""
        yield f"Not scored: {over:,} after a view's last whole window, {left:,} of blocked takes{whose}."
        if protocol["resampled_views"]:
            yield f"{protocol['resampled_views']} views are shorter than a window and were resampled to one."
        if protocol.get("truth_apart_mm", 0) > 0.1:
            apart = f"differs from joint3d_image times 2.5d_factor by {protocol['truth_apart_mm']:.2f} mm"
            yield f"The truth, joints_2.5d_image, {apart}."
