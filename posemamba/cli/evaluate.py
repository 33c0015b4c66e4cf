"""`posemamba evaluate`."""

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from posemamba.cli.terminal import Data, Progress, Seed, out


def evaluate(
    model: Annotated[str | None, Argument(help="A trained network's folder, or else the kept one.")] = None,
    data: Data = "synthetic",
    views: Annotated[int, Option(min=1, help="Virtual cameras a window.")] = 4,
    seed: Seed = 0,
    fps: Annotated[float, Option(min=1, max=1000, help="Frames a second.")] = 60,
    save: Annotated[Path | None, Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Score a network on the test split, beside the mean pose and ridge regression from the 2D window."""
    from rich.table import Table

    from posemamba import evaluation, storage
    from posemamba.evaluation.tables import rows
    from posemamba.model import PoseMamba
    from posemamba.motion import open_motion

    network = PoseMamba.from_pretrained(model if model is not None else storage.asset("small_cmu"))
    if network.config.millimetres_per_unit is None:
        raise ValueError(f"{model}: its output has no known unit in millimetres, so it cannot be scored here")
    clips, frames = open_motion(data, seed=seed), network.config.frames
    with Progress(None) as bar:
        told = partial(bar.stage, "lifting test windows")
        report = evaluation.evaluate(network, clips, frames, fps, views, seed, progress=told)
    scored = report.protocol["scored_frames"]
    table = Table("", title=f"Test split of {Path(data).name}: {scored:,} frames, virtual cameras")
    for name in report.scores:
        table.add_column(name, justify="right")
    for row in rows(report):
        if row:
            table.add_row(*row)
        else:
            table.add_section()
    out.print(table)
    if save is not None:
        storage.write_json(save, report.to_json())
        out.print(f"Written to {save}.", soft_wrap=True)
