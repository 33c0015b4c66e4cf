"""The command line: `posemamba info`, `train`, `evaluate`. Bad input ends in one line and exit code 2,
without a traceback."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="PoseMamba: lift 2D joints in video to 3D with a selective state space model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(markup=False)

Data = Annotated[
    str, typer.Option(help="Motion to use: 'synthetic', a motion file of posemamba, or cmu_mocap_17.npz.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        from posemamba import __version__

        out.print(__version__)
        raise typer.Exit


@app.command()
def info(
    variant: Annotated[str, typer.Argument(help="S, B, L or X.")] = "S",
    frames: Annotated[int, typer.Option(min=1, max=1_000_000, help="Frames in the sequence.")] = 243,
) -> None:
    """Print a variant's row of Table 2: parameters and MACs as the paper counts them, and all of them."""
    from posemamba.accounting import count
    from posemamba.model import VARIANTS, PoseMambaConfig

    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}, expected one of {', '.join(VARIANTS)}")
    config = PoseMambaConfig(frames=frames, **VARIANTS[variant])
    counted = count(config)
    table = Table(title=f"PoseMamba-{variant}: depth {config.depth}, d_m {config.channels}, {frames} frames")
    for heading in ("", "as the paper counts", "everything"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("parameters", f"{counted.paper_parameters:,}", f"{counted.parameters:,}")
    table.add_row("MACs", f"{counted.paper_macs:,}", f"{counted.macs:,}")
    table.add_row(
        "MACs a frame", f"{counted.paper_macs / frames / 1e6:.1f} M", f"{counted.macs / frames / 1e6:.1f} M"
    )
    table.add_row("  of these the scan", "0", f"{counted.scan_macs:,}")
    out.print(table)
    out.print(
        "The paper's figures are a profiler's that sees linear, convolution and norm modules only; "
        "everything counts all parameters and all products, the scan at 4.5 MACs a state, without norms."
    )


@app.command()
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
    from posemamba.motion.clips import open_motion
    from posemamba.training import Interrupted, TrainingConfig
    from posemamba.training import train as run

    changes = {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    settings = TrainingConfig.load(config, **changes)
    clips = open_motion(data, seed=settings.seed)
    with _Progress(settings.steps) as progress:
        try:
            run(settings, clips, folder, resume=resume, log=progress.log, device=device)
        except Interrupted as stopped:
            progress.close()
            out.print(
                f"Stopped after step {stopped.step} of {settings.steps}. Run the same command to go on."
            )
            raise typer.Exit(130) from None
    out.print(f"Trained. The network is in {folder / 'model'}; score it with")
    out.print(f"  posemamba evaluate {folder / 'model'} --data {data}", soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="Folder of a trained network; without one, the kept network.")
    ] = None,
    data: Data = "synthetic",
    views: Annotated[int, typer.Option(min=1, help="Virtual cameras a window.")] = 4,
    seed: Seed = 0,
    fps: Annotated[float, typer.Option(min=1, max=1000, help="Frames a second.")] = 60,
    save: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Score a network on the test split, beside the mean pose and ridge regression from the 2D window."""
    from posemamba import storage
    from posemamba.evaluation import evaluate as run
    from posemamba.model import PoseMamba
    from posemamba.motion.clips import open_motion

    network = PoseMamba.from_pretrained(model if model is not None else storage.asset("small_cmu"))
    if network.config.millimetres_per_unit is None:
        raise ValueError(f"{model}: its output has no known unit in millimetres, so it cannot be scored here")
    clips = open_motion(data, seed=seed)
    with _Progress(None) as progress:
        report = run(
            network,
            clips,
            frames=network.config.frames,
            fps=fps,
            views=views,
            seed=seed,
            progress=progress.windows,
        )
    names = list(report.scores)
    table = Table(
        title=f"Test split of {Path(data).name}: {report.protocol['scored_frames']:,} frames, virtual cameras"
    )
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    headings = {"mpjpe": "MPJPE, mm", "p_mpjpe": "P-MPJPE, mm", "mpjve": "MPJVE, mm a frame"}
    rows = {name: found.rows() for name, found in report.scores.items()}
    for metric, heading in headings.items():
        for key, label in (("over_actions", "mean over actions"), ("over_frames", "mean over frames")):
            table.add_row(f"{heading}: {label}", *(f"{rows[name][metric][key]:.2f}" for name in names))
    table.add_section()
    for action in report.scores["model"].mpjpe.actions:
        table.add_row(f"MPJPE, mm: {action}", *(f"{rows[name]['mpjpe'][action]:.1f}" for name in names))
    out.print(table)
    if save is not None:
        storage.write_json(save, report.to_json())
        out.print(f"Written to {save}.")


@app.command()
def benchmark(
    only: Annotated[
        list[str] | None, typer.Option(help="A section: scan, network or training. Repeatable.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="A size of the scan, such as S, BL or N64. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    rounds: Annotated[int | None, typer.Option(min=1, max=1000, help="Measurements of each.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads, all cores by default.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="A checkout of MotionAGFormer or MotionBERT to time beside ours. Its code is imported and "
            "run: name only what you trust. Repeatable."
        ),
    ] = None,
    seed: Seed = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, to see that everything runs.")] = False,
    save: Annotated[
        Path | None,
        typer.Option("--out", help="The JSON file; by default one in this folder, named by device and time."),
    ] = None,
) -> None:
    """Measure this machine: scans, networks and training steps, beside what else is installed.

    The record is written as it grows. Ctrl-C stops and keeps what is there.
    """
    from posemamba.benchmark import Run, measure

    given = {name: value for name, value in (("threads", threads), ("rounds", rounds)) if value is not None}
    with _Progress(None) as progress:
        run = Run(device=device, seed=seed, log=progress.stage, **given)
        run = run.choose(shape or (), peer or (), quick)
        save = save or Path(time.strftime(f"posemamba-benchmark-{device}-%Y%m%d-%H%M%S.json"))
        out.print(f"The record grows in {save}.", soft_wrap=True)
        command = [Path(word).name for word in sys.argv]  # a folder's place is somebody's own
        measure(run, save, command, only or (), lambda grid: out.print(grid, "", sep="\n", soft_wrap=True))
    out.print(f"Written to {save}.", soft_wrap=True)


class _Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, total: int | None):
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=out, transient=True) if out.is_terminal else None
        self.task = self.bar.add_task("starting", total=total) if self.bar else None
        self.total, self.error, self.said = total, None, time.monotonic()

    def __enter__(self) -> "_Progress":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self.bar:
            self.bar.stop()

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Called by training: the running mean of the error, and where we are."""
        now = figures["mpjpe_mm"]
        self.error = now if self.error is None else 0.98 * self.error + 0.02 * now
        text = f"MPJPE {self.error:.1f} mm (training windows)"
        if self.bar:
            self.bar.update(self.task, completed=step + 1, description=text)
        elif time.monotonic() - self.said > 30 or step + 1 == self.total:
            self.said = time.monotonic()
            out.print(f"step {step + 1} of {self.total}, {figures['seconds']:.0f} s: {text}")

    def stage(self, text: str) -> None:
        """Called by the benchmark: what is being done."""
        if self.bar:
            self.bar.update(self.task, description=text)
        elif time.monotonic() - self.said > 30:
            self.said = time.monotonic()
            out.print(text)

    def windows(self, done: int, total: int) -> None:
        """Called by evaluation."""
        if self.bar:
            self.bar.update(self.task, completed=done, total=total, description="lifting test windows")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A failure becomes one line on standard error and exit code 2.

    With the environment variable POSEMAMBA_TRACEBACK set, it keeps its traceback.
    """
    try:
        app(arguments, standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # whatever it is, a user gets one line
        if os.environ.get("POSEMAMBA_TRACEBACK"):
            raise
        expected = isinstance(error, ValueError | TypeError | OSError | FloatingPointError)
        reason = " ".join(str(error).split()) or "no reason given"
        print(f"posemamba: {reason if expected else f'{type(error).__name__}: {reason}'}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
