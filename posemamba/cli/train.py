"""`posemamba train`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from posemamba.cli.terminal import Data, Progress, command, out

#: Environment variables that a training process of ours starts with, where the user has not set them.
THREADS: dict[str, str] = {}


def quiet_threads() -> None:
    """Set `THREADS`. It comes before torch is imported, which reads them once."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)


def train(
    data: Data = "synthetic",
    config: Annotated[
        str, typer.Option(help="A YAML file, or the name of a shipped configuration.")
    ] = "small",
    folder: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path("runs/small"),
    steps: Annotated[int | None, typer.Option(min=1, help="Steps, instead of the configuration's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the configuration's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on where the folder's run stopped.")] = True,
) -> None:
    """Train on the training split, seen through virtual cameras. Ctrl-C stops; the same command goes on."""
    quiet_threads()
    from posemamba import training
    from posemamba.motion import open_motion

    changes = {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    settings = training.TrainingConfig.load(config, **changes)
    clips = open_motion(data, seed=settings.seed)
    try:
        with Progress(settings.steps) as progress:
            training.train(settings, clips, folder, resume=resume, log=progress.log, device=device)
    except training.Interrupted as stopped:
        out.print(f"Stopped after step {stopped.step} of {settings.steps}. Run the same command to go on.")
        raise typer.Exit(130) from None
    out.print(f"Trained. The network is in {folder / 'model'}; score it with", soft_wrap=True)
    score = command("posemamba", "evaluate", folder / "model", "--data", data)
    out.print(f"  {score}", soft_wrap=True)
