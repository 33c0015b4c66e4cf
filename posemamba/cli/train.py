"""`posemamba train`."""

import os
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from posemamba.cli.terminal import Data, Progress, command, out, say


def train(
    data: Data = "synthetic",
    recipe: Annotated[
        str,
        Option("--recipe", "--config", help="A recipe's name, such as small or table_1/S; or a YAML file."),
    ] = "small",
    base: Annotated[
        str | None, Option("--as", help="paper or released: for the tables' recipes, whose settings count.")
    ] = None,
    changes: Annotated[
        list[str] | None, Option("--set", help="A setting, such as optimizer.learning_rate=1e-4; repeatable.")
    ] = None,
    folder: Annotated[Path | None, Option(help="Where the run is kept; runs/RECIPE by default.")] = None,
    steps: Annotated[int | None, Option(min=1, help="Steps, instead of the recipe's.")] = None,
    seed: Annotated[int | None, Option(min=0, help="Seed, instead of the recipe's.")] = None,
    device: Annotated[str, Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[int, Option(min=1, help="Processes, each with a device of its own.")] = 1,
    compiled: Annotated[bool, Option("--compile", help="Run the network through torch.compile.")] = False,
    graphs: Annotated[bool, Option("--graphs", help="Replay CUDA graphs; on one CUDA device.")] = False,
    resume: Annotated[bool, Option(help="Go on where the folder's run stopped.")] = True,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only say what would be trained, on what and for how long.")
    ] = False,
    report: Annotated[bool, Option(help="Write the folder's report.html at the end.")] = True,
    recipes: Annotated[bool, Option("--recipes", help="Only list the recipes that ship.")] = False,
) -> None:
    """Train on the training split. Ctrl-C stops; the same command goes on.

    Without cameras of its own, motion is seen through virtual ones.
    """
    # Waiting threads sleep. libgomp's spin by default, which on a busy machine makes training some times
    # slower; it reads this when torch is imported, so it comes before that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from posemamba import training
    from posemamba.motion import open_motion
    from posemamba.training.validation import SPLITS

    if recipes:
        out.print("\n".join(training.recipe.names()))
        return
    given = _settings(changes or [])
    given |= {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    settings = training.TrainingConfig.load(recipe, base, **given)
    clips = open_motion(data, seed=settings.seed)
    if dry_run:
        for line in training.forecast(settings, clips, device):
            say(line)
        return
    kept = recipe if "/" not in recipe or not Path(recipe).is_file() else Path(recipe).stem
    folder = folder or Path("runs") / (f"{kept}-{base}" if base == "released" else kept)
    place = training.launched()
    out.quiet = place is not None and place.rank > 0  # of torchrun's processes one speaks
    how = dict(device=device, devices=devices, compile=compiled, graphs=graphs)
    try:
        with Progress(None) as progress:
            training.train(settings, clips, folder, resume=resume, log=progress.log, **how)
    except training.Interrupted as stopped:
        out.print(f"Stopped after step {stopped.step}. Run the same command to go on.")
        raise Exit(130) from None
    if out.quiet:
        return
    for split, chosen in training.choices(training.read_rows(folder)).items():
        told = f"step {chosen['step']}, MPJPE {chosen['mpjpe']:.1f} mm"
        if split != "test" and chosen["test_mpjpe"] is not None:
            told += f", test {chosen['test_mpjpe']:.1f} mm"
        out.print(f"Best on the {SPLITS[split]}: {told}.")
    if report:
        from posemamba.plotting import write_report

        page = write_report(folder, clips, Path(data).name, windows=100)
        say(f"A report is in {page}.")
    score = command("posemamba", "evaluate", folder / "model", "--data", data)
    say(f"Trained. The network is in {folder / 'model'}; score it with\n  {score}")


def _settings(changes: list[str]) -> dict:
    """What --set gives, by path; values are YAML's."""
    import yaml

    found = {}
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or not path.strip():
            raise ValueError(f"--set {change}: expected a setting and its value, such as steps=100")
        try:
            found[path.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"--set {change}: its value is not readable as YAML") from None
    return found
