"""The report of a training run: one HTML file that works offline, light and dark, and on a phone."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from posemamba import record, storage
from posemamba.evaluation import tables
from posemamba.motion.clips import Clip, natural_order
from posemamba.plotting.bodies import skeleton_animation
from posemamba.plotting.charts import MARKERS, curves, dots
from posemamba.plotting.export import figure_html
from posemamba.plotting.style import CLEAR, COLOURS, INK
from posemamba.training import TrainingConfig, recipe
from posemamba.training.forecast import outline
from posemamba.training.report import NAMES, NETWORKS, RunReport, examine, notes, smooth
from posemamba.training.validation import SPLITS, choices

POINTS, MOST_FRAMES = 1000, 40  # of a curve, of a skeleton's animation; of more every n-th is drawn
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
    title, versions, machine = f"Training run {run.folder.resolve().name}", head["versions"], head["hardware"]
    made = f"{run.done:,} of {run.config.steps:,} steps. Written on {head['date']} by posemamba "
    made += f"{versions['posemamba']} (commit {head['commit'] or 'unknown'}) with torch {versions['torch']} "
    made += f"on {machine['processor']}, {machine['cuda'] or 'no GPU'}."
    sections = {
        "What to look out for": [_list(notes(run) or ["The checks found nothing to tell."], "notes")],
        "What was trained, on what": _settings(run, clips, data_name),
    }
    for name, (needed, draw) in _SECTIONS.items():
        sections[name] = [_p(run.missing[needed])] if needed in run.missing else draw(run)
    links = [f'<li><a href="#section-{k}">{name}</a></li>' for k, name in enumerate(sections)]
    body = f"<h1>{escape(title)}</h1>{_p(made, 'soft')}<noscript>{_p('Figures need JavaScript.')}</noscript>"
    body += f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>'
    for k, (name, parts) in enumerate(sections.items()):
        body += f'\n<section id="section-{k}"><h2>{name}</h2>{"".join(parts)}</section>'
    files = {name: storage.asset(name).read_text(encoding="utf-8") for name in ("report.html", "figures.js")}
    filled = dict(title=escape(title), body=body, plotly=get_plotlyjs(), figures=files["figures.js"])
    with storage.atomic_path(run.folder / "report.html") as path:
        path.write_text(Template(files["report.html"]).substitute(filled), encoding="utf-8")
    return run.folder / "report.html"


def _p(text: str, kind: str = "plain") -> str:
    return f'<p class="{kind}">{escape(text)}</p>'


def _list(lines: Iterable[str], kind: str = "plain") -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _table(title: str, header: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "numbers") -> str:
    """Rows of words, the first a row's name, as a table that scrolls by itself where it is too wide."""
    top = "".join(f'<th scope="col">{escape(word)}</th>' for word in header)
    rows = (
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(each)}</td>" for each in rest)}</tr>'
        for first, *rest in filter(None, lines)
    )
    told = f"<caption>{escape(title)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody>"
    box = f'<div class="wide" role="region" tabindex="0" aria-label="{escape(title)}">'
    return f'{box}<table class="{kind}">{told}</table></div>'


def _figure(figure: go.Figure, caption: str = "") -> str:
    figure.layout.template = "book"
    told = f"<figcaption>{escape(caption)}</figcaption>" * bool(caption)
    return f"<figure>{figure_html(json.loads(figure.to_json()))}{told}</figure>"


def _settings(run: RunReport, clips: Sequence[Clip], data_name: str) -> list[str]:
    config, lines = run.config, [f"motion: {data_name}"] if data_name else []
    if clips:
        test = {clip.subject or clip.name for clip in clips if clip.split == "test"}
        lines += [*outline(config, clips), f"test: {', '.join(sorted(test, key=natural_order)) or 'none'}"]
    of_3dhp = config.data.targets == "univ_annot3"
    name, bases = ("table_3/S/81", ["paper"]) if of_3dhp else ("table_1/S", ["paper", "released"])
    bases = {base: recipe.flat(asdict(TrainingConfig.load(name, base))) for base in bases}
    rows = [
        (path, *(str(value).lower() for value in (own, *(base[path] for base in bases.values()))))
        for path, own in recipe.flat(asdict(config)).items()
        if own != bases["paper"][path] and path not in OPEN
    ]
    title = f"Settings in which the run differs from the recipe {name}; config.yaml has all of them"
    return [_list(lines), _table(title, ("setting", "this run", *bases), rows, "words")]


def _every(run: RunReport) -> slice:
    return slice(None, None, math.ceil(len(run.curve["step"]) / POINTS))


def _lines(run: RunReport, columns: dict[str, str], title: str, ylabel: str, rough: bool = True) -> go.Figure:
    """Columns of the curve by name, smoothed; where that is rough the first one also as it is."""
    every = _every(run)
    steps = run.curve["step"][every] + 1
    lines = {name: (steps, smooth(run.curve[column])[every]) for column, name in columns.items()}
    raw = {"single steps": (steps, run.curve[next(iter(columns))][every])}
    figure = curves((raw if rough else {}) | lines, "step", ylabel, logy=True, title=title)
    if rough:
        figure.data[0].update(line=dict(width=1, dash="solid", color=COLOURS[5]), opacity=0.55)
        figure.data[1].update(line=dict(dash="solid"))
    ticks = [digit * 10.0**power for power in range(-9, 7) for digit in (1, 2, 5)]
    drawn = np.concatenate([line for _, line in lines.values()])
    if (drawn > 0).any() and drawn.max() < 100 * drawn[drawn > 0].min():
        figure.layout.yaxis.update(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def _curves(run: RunReport) -> list[str]:
    loss = _lines(run, {"loss": "smoothed"}, "Loss of the training windows", "loss")
    weights = {f"loss/{name}": weight for name, weight in asdict(run.config.loss).items()}
    terms = {name: name[5:].replace("_", " ") for name in run.curve if weights.get(name)}
    each = _lines(run, terms, "The loss's terms", "term", rough=False)
    figure = _lines(run, {"mpjpe_mm": "training"}, "Error on the way", "MPJPE (mm)")
    for k, (split, name) in enumerate(SPLITS.items(), 2):
        rows = [row for row in run.rows if row.split == split]
        points = dict(x=[row.step for row in rows], y=[row.mpjpe for row in rows], name=name)
        look = dict(mode="lines+markers", marker=dict(size=8, symbol=MARKERS[k], color=COLOURS[k]))
        hover = f"step %{{x}}<br>MPJPE: %{{y:.1f}} mm<extra>{name}</extra>"
        if rows:
            figure.add_scatter(**points, **look, line=dict(width=2), hovertemplate=hover)
    for choice in choices(run.rows).values():
        ring = dict(size=17, color=CLEAR, line=dict(color=INK, width=2.5))
        look = dict(mode="markers", marker=ring, hoverinfo="skip", showlegend=False)
        figure.add_scatter(x=[choice["step"]], y=[choice["mpjpe"]], **look)
    unit = "" if run.config.model.millimetres_per_unit else ", a unit of 2.5D as 2200 mm"
    told = f"Training is without flip averaging{unit}. "
    told += "Validations are means over actions; rings mark the least."
    parts = [_figure(loss), _figure(each, "Smoothed, before weighting, in the network's unit.")]
    return [*parts, _figure(figure, told)]


def _chosen(run: RunReport) -> list[str]:
    rules = {f"least on the {SPLITS[split]}": each for split, each in choices(run.rows).items()}
    end = {row.split: row.mpjpe for row in run.rows if row.step == run.rows[-1].step}
    rules["the last one"] = dict(step=run.rows[-1].step, mpjpe=None, test_mpjpe=end.get("test"))
    heads = ("rule", "step", "error it went by, mm", "error on the test split, mm")
    rows = [
        (rule, f"{e['step']:,}", _number(e["mpjpe"]), _number(e["test_mpjpe"])) for rule, e in rules.items()
    ]
    return [_table("Which validation each rule chooses: MPJPE, means over actions", heads, rows)]


def _gradient(run: RunReport) -> list[str]:
    norm = _lines(run, {"gradient_norm": "smoothed"}, "Length of the gradient", "norm")
    steps = run.curve["step"] + 1, run.curve["learning_rate"]
    rate = curves({"": [part[_every(run)] for part in steps]}, "step", "learning rate", title="Learning rate")
    rate.layout.yaxis.title.standoff = 14
    told = ""
    if limit := run.config.optimizer.clip_norm:
        norm.add_hline(limit, line=dict(color=INK, dash="dot"))
        told = f"Above the dotted line, at {limit:g}, it was clipped."
    return [_figure(norm, told), _figure(rate)]


def _errors(run: RunReport) -> list[str]:
    report, told = run.report, run.report.protocol
    names = [NAMES[name] for name in report.scores]
    where = f"{told['windows']:,} test windows ({told['scored_frames']:,} frames), seen as in training"
    parts = [_p(f"Measured: {NETWORKS[run.network]} ({run.network}), with flip averaging, on {where}.")]
    parts += [_p(run.missing["ridge"])] if "ridge" in run.missing else []
    lines = tables.rows(report)
    parts.append(_table("All metrics", ("", *names), lines[: lines.index(())]))
    by_part = [report.by_part(of)["mpjpe"] for of in report.scores]
    kinds = {"action": [scores.mpjpe.actions for scores in report.scores.values()]}
    kinds["subject"] = list(report.by_subject().values())
    kinds |= {kind: [each[f"{kind}s"] for each in by_part] for kind in ("joint", "limb")}
    for kind, found in kinds.items():
        parts.append(f"<h3>By {kind}</h3>")
        if not found:
            parts.append(_p("Left out: not all test clips name their subject."))
            continue
        order = sorted(found[0], key=natural_order) if kind == "subject" else list(found[0])
        each = ({escape(row, quote=False): [own[row]] for row in order} for own in found)
        worst = max(order, key=found[0].get)
        largest = f"{worst}, {found[0][worst]:.1f} mm"
        alt = f"MPJPE by {kind}: {', '.join(names)}. The network's largest: {largest}."
        parts.append(_figure(dots(dict(zip(names, each, strict=True)), "MPJPE (mm)", alt=alt)))
    found = [tables.Table("By action and subject", ("", *names), lines[lines.index(()) :])]
    found += [tables.by_action(report, "All metrics by action, the network")]
    for table in (*found, tables.by_part(report, "All metrics by joint and limb, the network")):
        told = _table(*table[:3])
        parts.append(f"<details><summary>{table.title}</summary>{told}</details>")
    return parts


def _spread(run: RunReport) -> list[str]:
    tables = {NAMES[name]: scores.tables["mpjpe"] for name, scores in run.report.scores.items()}
    errors = {name: table.errors.mean(-1)[table.scored].numpy() for name, table in tables.items()}
    shares = np.linspace(0, 100, 201)
    lines = {name: (np.percentile(own, shares), shares) for name, own in errors.items()}
    title = "Share of the frames below an error"
    figure = curves(lines, "MPJPE of a frame (mm)", "share of the frames (%)", title=title)
    rows = [
        (f"{share}%", *(_number(np.percentile(own, share)) for own in errors.values())) for share in SHARES
    ]
    return [_figure(figure), _table("So many frames are not above, mm", ("frames", *errors), rows)]


def _windows(run: RunReport) -> list[str]:
    parts = []
    for example in run.examples:
        clip, every = example.clip, math.ceil(len(example.truth) / MOST_FRAMES)
        whose = f" of subject {clip.subject}" if clip.subject else ""
        told = f"{clip.action}{whose}, clip {clip.name}, from its frame {example.start}"
        poses = {"network": example.answer[::every], "truth": example.truth[::every]}
        look = dict(keypoints=example.inputs[::every], space="camera")
        alt = f"The {example.name} window: the network's pose over the true one, and the 2D input. {told}."
        figure = skeleton_animation(poses, run.config.data.fps / every, alt=alt, **look)
        title = f"The {example.name}: MPJPE {example.error:.1f} mm"
        parts += [f"<h3>{title}</h3>", _figure(figure, f"{told[0].upper()}{told[1:]}.")]
    return parts


_SECTIONS = {
    "Learning curves": ("curve", _curves),
    "The step that was chosen": ("validation", _chosen),
    "Gradient and learning rate": ("curve", _gradient),
    "Errors on the test split": ("errors", _errors),
    "How the errors are spread": ("errors", _spread),
    "Best, median and worst window": ("errors", _windows),
}
