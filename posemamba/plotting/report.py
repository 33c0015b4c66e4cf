"""The report of a training run: one HTML file that works offline, light and dark, and on a phone."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from posemamba import record, storage
from posemamba.metrics import METRICS
from posemamba.motion.clips import Clip, natural_order
from posemamba.plotting.bodies import skeleton_animation
from posemamba.plotting.charts import MARKERS, curves, dots
from posemamba.plotting.export import figure_html
from posemamba.plotting.style import CLEAR, COLOURS, INK
from posemamba.training import TrainingConfig, recipe
from posemamba.training.data import held_out, training_clips
from posemamba.training.report import NETWORKS, SPLITS, RunReport, examine, notes, smooth
from posemamba.training.validation import choices

POINTS, MOST_FRAMES = 1000, 40  # of a curve, of a skeleton's animation; of more every n-th is drawn
NAMES = {"model": "network", "ridge": "ridge regression", "mean pose": "mean pose"}
SHARES = (5, 25, 50, 75, 90, 95, 99, 100)
# What the data decides where a recipe leaves it open.
OPEN = ("steps", "schedule.epoch", "validation.every", "validation.subjects", "data.views", "data.noise")


def write_report(
    folder: str | Path, clips: Sequence[Clip] = (), data_name: str = "", windows: int = 400
) -> Path:
    """Write the report of a run, finished or not, as FOLDER/report.html, and return its path.

    What cannot be told is left out, and a sentence says so.

    Args:
        folder, clips, windows: as `training.report.examine` takes them.
        data_name: what the motion is called.

    Raises:
        FileNotFoundError, ValueError: no folder of a run, or clips that do not fit it.
    """
    run, head = examine(folder, clips, windows), record.head("a run's report", (), ())
    sections = {
        "What to look out for": _notes(run),
        "What was trained, on what": _settings(run, clips, data_name),
        "Learning curves": _curves(run),
        "Gradient and learning rate": _gradient(run),
        "Errors on the test split": _errors(run),
        "How the errors are spread": _spread(run),
        "Best, median and worst window": _windows(run),
    }
    title, places = f"Training run {run.folder.resolve().name}", enumerate(sections, 1)
    links = "".join(f'<li><a href="#section-{k}">{name}</a></li>' for k, name in places)
    versions, machine = head["versions"], head["hardware"]
    made = f"{run.done:,} of {run.config.steps:,} steps. Written on {head['date']} by posemamba "
    made += f"{versions['posemamba']} (commit {head['commit'] or 'unknown'}) with torch {versions['torch']} "
    made += f"on {machine['processor']}, {machine['cuda'] or 'no GPU'}."
    body = [f"<h1>{escape(title)}</h1>", _p(made, "soft")]
    body.append("<noscript><p>The figures need JavaScript; the tables do not.</p></noscript>")
    body.append(f'<nav aria-label="Sections"><ul>{links}</ul></nav>')
    for k, (name, parts) in enumerate(sections.items(), 1):
        body.append(f'<section id="section-{k}"><h2>{name}</h2>{"".join(parts)}</section>')
    page, figures = (
        storage.asset(name).read_text(encoding="utf-8") for name in ("report.html", "figures.js")
    )
    filled = dict(title=escape(title), body="\n".join(body), plotly=get_plotlyjs(), figures=figures)
    with storage.atomic_path(run.folder / "report.html") as path:
        path.write_text(Template(page).substitute(filled), encoding="utf-8")
    return run.folder / "report.html"


def _p(text: str, kind: str = "plain") -> str:
    return f'<p class="{kind}">{escape(text)}</p>'


def _cell(value) -> str:
    if value is None or isinstance(value, tuple | list):
        return escape(", ".join(map(str, value or ()))) or "none"
    return escape(value if isinstance(value, str) else f"{value:,.1f}")


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence], kind: str = "numbers") -> str:
    """Rows as a table, which scrolls by itself where it is too wide; a number has one decimal."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    lines = (
        f'<tr><th scope="row">{_cell(first)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    told = f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"
    box = f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return f'{box}<table class="{kind}">{told}</table></div>'


def _figure(figure: go.Figure, caption: str = "") -> str:
    figure.layout.template = "book"
    told = f"<figcaption>{escape(caption)}</figcaption>" * bool(caption)
    return f"<figure>{figure_html(json.loads(figure.to_json()))}{told}</figure>"


def _notes(run: RunReport) -> list[str]:
    found = "".join(f"<li>{escape(note)}</li>" for note in notes(run))
    nothing = _p("The checks of curves, validations and errors found nothing to tell.")
    return [f'<ul class="notes">{found}</ul>' if found else nothing]


def _settings(run: RunReport, clips: Sequence[Clip], data_name: str) -> list[str]:
    config, parts, rows = run.config, [], []
    if clips:
        splits = {"training": training_clips(config, clips), "held-out subjects": held_out(config, clips)}
        splits["test"] = [clip for clip in clips if clip.split == "test"]
        for split, own in splits.items():
            people = sorted({clip.subject for clip in own} - {""}, key=natural_order)
            minutes = sum(len(clip) / clip.fps for clip in own) / 60
            actions = sorted({clip.action for clip in own})
            rows += [(split, f"{len(own):,}", minutes, people, actions)] * bool(own)
        heads = ("part", "clips", "minutes", "subjects", "actions")
        parts.append(_table(f"The motion: {data_name or 'as given'}", heads, rows, "words"))
    name = "table_3/S/81" if config.data.targets == "univ_annot3" else "table_1/S"
    bases = ("paper",) if name.startswith("table_3") else ("paper", "released")
    bases = {base: recipe.flat(asdict(TrainingConfig.load(name, base))) for base in bases}
    rows = [
        (path, *(str(value) for value in (own, *(base[path] for base in bases.values()))))
        for path, own in recipe.flat(asdict(config)).items()
        if own != bases["paper"][path] and path not in OPEN
    ]
    told = f"Settings in which the run differs from the recipe {name}; config.yaml has all of them"
    return [*parts, _table(told, ("setting", "this run", *bases), rows, "words")]


def _lines(run: RunReport, columns: Mapping[str, str], title: str, ylabel: str) -> go.Figure:
    """Smoothed columns of the curve by name; a single one also as it is."""
    every = slice(None, None, math.ceil(len(run.curve["step"]) / POINTS))
    steps, single = run.curve["step"][every] + 1, len(columns) == 1
    lines = {name: (steps, smooth(run.curve[column])[every]) for column, name in columns.items()}
    raw = {"each step": (steps, run.curve[next(iter(columns))][every])} if single else {}
    figure = curves(lines | raw, "step", ylabel, logy=True, title=title)
    for trace in figure.data[len(lines) :]:
        trace.update(line=dict(width=1, dash="solid", color=COLOURS[5]), opacity=0.55)
    figure.data = figure.data[::-1] if single else figure.data
    ticks = [digit * 10.0**power for power in range(-9, 7) for digit in (1, 2, 5)]
    drawn = np.concatenate([line for _, line in (lines | raw).values()])
    if (drawn > 0).any() and drawn.max() < 100 * drawn[drawn > 0].min():
        figure.layout.yaxis.update(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def _curves(run: RunReport) -> list[str]:
    parts, figure, kept = [], go.Figure(), choices(run.rows)
    if "curve" in run.missing:
        parts.append(_p(run.missing["curve"]))
    else:
        parts.append(_figure(_lines(run, {"loss": "smoothed"}, "Loss of the training windows", "loss")))
        weights = {f"loss/{name}": weight for name, weight in asdict(run.config.loss).items()}
        terms = {name: name[5:].replace("_", " ") for name in run.curve if weights.get(name)}
        if len(terms) > 1:
            told = "Smoothed, before weighting, in the network's unit."
            parts.append(_figure(_lines(run, terms, "The loss's terms", "term"), told))
        figure = _lines(run, {"mpjpe_mm": "training"}, "Error on the way", "MPJPE (mm)")
    for k, (split, name) in enumerate(SPLITS.items(), 2):
        rows = [row for row in run.rows if row.split == split]
        look = dict(mode="lines+markers", marker=dict(size=8, symbol=MARKERS[k], color=COLOURS[k]))
        hover = f"step %{{x}}<br>MPJPE: %{{y:.1f}} mm<extra>{name}</extra>"
        points = dict(x=[row.step for row in rows], y=[row.mpjpe for row in rows])
        if rows:
            figure.add_scatter(**points, name=name, line=dict(width=2), hovertemplate=hover, **look)
    if kept:
        points = dict(x=[each["step"] for each in kept.values()], y=[each["mpjpe"] for each in kept.values()])
        ring = dict(size=17, color=CLEAR, line=dict(color=INK, width=2.5))
        figure.add_scatter(**points, mode="markers", marker=ring, hoverinfo="skip", name="least")
    if figure.data:
        unit = "" if run.config.model.millimetres_per_unit else "; in 2.5D a unit counts as 2200 mm"
        told = (
            f"Training windows are measured without flip averaging{unit}. Validations are means over actions."
        )
        parts.append(_figure(figure.update_layout(showlegend=True), told))
    if not kept:
        return [*parts, _p(run.missing["validation"])]
    end = [row for row in run.rows if row.step == run.rows[-1].step]
    test = {row.split: row.mpjpe for row in end}.get("test")
    rows = [
        (f"least on the {SPLITS[split]}", f"{each['step']:,}", each["mpjpe"], each["test_mpjpe"])
        for split, each in kept.items()
    ]
    rows.append(("the last validation", f"{end[0].step:,}", None, test))
    heads = ("rule", "step", "error it went by, mm", "error on the test split, mm")
    return [*parts, _table("The step that each rule chooses: MPJPE, mean over actions", heads, rows)]


def _gradient(run: RunReport) -> list[str]:
    if "curve" in run.missing:
        return [_p(run.missing["curve"])]
    figure = _lines(run, {"gradient_norm": "smoothed"}, "Length of the gradient", "norm")
    limit, told = run.config.optimizer.clip_norm, ""
    if limit:
        figure.add_hline(limit, line=dict(color=INK, dash="dot"))
        told = f"Above the dotted line, at {limit:g}, it was clipped."
    every = slice(None, None, math.ceil(len(run.curve["step"]) / POINTS))
    line = run.curve["step"][every] + 1, run.curve["learning_rate"][every]
    rate = curves({"learning rate": line}, "step", "learning rate", title="Learning rate")
    return [_figure(figure, told), _figure(rate)]


def _errors(run: RunReport) -> list[str]:
    report = run.report
    if report is None:
        return [_p(run.missing["errors"])]
    names, told = [NAMES[name] for name in report.scores], report.protocol
    where = f"{told['windows']:,} windows of the test split, {told['scored_frames']:,} frames, seen as in training"
    parts = [_p(f"Measured: {NETWORKS[run.network]} ({run.network}), with flip averaging, on {where}.")]
    parts += [_p(run.missing["ridge"])] if "ridge" in run.missing else []
    rows = [
        (
            f"{METRICS[metric].label}, {METRICS[metric].unit}",
            *(report.figure(metric, of) for of in report.scores),
        )
        for metric in report.scores["model"].tables
    ]
    parts.append(_table("Means over actions", ("metric", *names), rows))
    by_part = [report.by_part(of)["mpjpe"] for of in report.scores]
    kinds = {"action": [scores.mpjpe.actions for scores in report.scores.values()]}
    kinds["subject"] = list(report.by_subject().values())
    kinds |= {kind: [each[f"{kind}s"] for each in by_part] for kind in ("joint", "limb")}
    for kind, found in kinds.items():
        if not found:
            parts.append(_p("Errors by subject are left out: not all test clips name theirs."))
            continue
        order = sorted(found[0], key=natural_order) if kind == "subject" else list(found[0])
        groups = {
            name: {escape(row): [each[row]] for row in order} for name, each in zip(names, found, strict=True)
        }
        worst = max(order, key=found[0].get)
        alt = f"MPJPE by {kind}, of {', '.join(names)}. The network's largest: {worst}, {found[0][worst]:.1f} mm."
        table = _table(
            f"MPJPE by {kind}, mm", (kind, *names), [(row, *(f[row] for f in found)) for row in order]
        )
        parts += [f"<h3>By {kind}</h3>", _figure(dots(groups, "MPJPE (mm)", alt=alt))]
        parts.append(f"<details><summary>The numbers by {kind}</summary>{table}</details>")
    return parts


def _spread(run: RunReport) -> list[str]:
    if run.report is None:
        return [_p(run.missing["errors"])]
    tables = {NAMES[name]: scores.tables["mpjpe"] for name, scores in run.report.scores.items()}
    errors = {name: table.errors.mean(-1)[table.scored].numpy() for name, table in tables.items()}
    shares = np.linspace(0, 100, 201)
    lines = {name: (np.percentile(own, shares), shares) for name, own in errors.items()}
    title = "Share of the frames below an error"
    figure = curves(lines, "MPJPE of a frame (mm)", "share of the frames (%)", title=title)
    rows = [(f"{share}%", *(float(np.percentile(own, share)) for own in errors.values())) for share in SHARES]
    return [_figure(figure), _table("So many frames are not above, mm", ("frames", *errors), rows)]


def _windows(run: RunReport) -> list[str]:
    parts = [] if run.examples else [_p(run.missing["errors"])]
    for example in run.examples:
        clip, every = example.clip, math.ceil(len(example.truth) / MOST_FRAMES)
        whose = f" of subject {clip.subject}" if clip.subject else ""
        told = f"{clip.action}{whose}, clip {clip.name}, from its frame {example.start}"
        poses = {"network": example.answer[::every], "truth": example.truth[::every]}
        look = dict(keypoints=example.inputs[::every], space="camera")
        alt = f"The {example.name} window: the network's skeleton over the true one, beside the 2D input. {told}."
        figure = skeleton_animation(poses, run.config.data.fps / every, alt=alt, **look)
        title = f"The {example.name}: MPJPE {example.error:.1f} mm"
        parts += [f"<h3>{title}</h3>", _figure(figure, f"{told[0].upper()}{told[1:]}.")]
    return parts
