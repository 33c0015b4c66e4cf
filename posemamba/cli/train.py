"""`posemamba train`."""

import os
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from posemamba.cli.terminal import Data, Progress, command, out


def train(
    data: Data = "synthetic",
    config: Annotated[str, Option(help="A YAML file, or the name of a shipped configuration.")] = "small",
    folder: Annotated[Path, Option(help="Where the run is kept.")] = Path("runs/small"),
    steps: Annotated[int | None, Option(min=1, help="Steps, instead of the configuration's.")] = None,
    seed: Annotated[int | None, Option(min=0, help="Seed, instead of the configuration's.")] = None,
    device: Annotated[str, Option(help="auto, cpu, cuda or mps.")] = "auto",
    resume: Annotated[bool, Option(help="Go on where the folder's run stopped.")] = True,
) -> None:
    """Train on the training split, seen through virtual cameras. Ctrl-C stops; the same command goes on."""
    # Waiting threads sleep. libgomp's spin by default, which on a busy machine makes training some times
    # slower; it reads this when torch is imported, so it comes before that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
        raise Exit(130) from None
    score = command("posemamba", "evaluate", folder / "model", "--data", data)
    out.print(f"Trained. The network is in {folder / 'model'}; score it with\n  {score}", soft_wrap=True)
