"""The command line: `posemamba info | train | evaluate | lift | export | benchmark | data`, a module a
command.

What a command needs is imported when it runs. Bad input ends in one line and exit code 2, no traceback.
"""

import os
import sys
from typing import Annotated

import typer

from posemamba.cli.benchmark import benchmark
from posemamba.cli.data import data
from posemamba.cli.evaluate import evaluate
from posemamba.cli.export import export
from posemamba.cli.info import info
from posemamba.cli.lift import lift
from posemamba.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    help="PoseMamba: lift 2D joints in video to 3D with a selective state space model.",
    context_settings={"help_option_names": ["-h", "--help"]},
    **dict(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False),
)
for command in (info, train, evaluate, lift, export, benchmark):
    app.command()(command)
app.add_typer(data, name="data")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False):
    if version:
        from posemamba import __version__

        print(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A failure becomes one line on standard error and exit code 2.

    With the environment variable POSEMAMBA_TRACEBACK set, it keeps its traceback.
    """
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:  # whatever it is, a user gets one line
        if os.environ.get("POSEMAMBA_TRACEBACK"):
            raise
        said = getattr(error, "format_message", None)  # typer's own: what was typed is wrong
        code, text = 2, " ".join(str(said() if said else error).split())
        if not said and not isinstance(
            error, ValueError | TypeError | OSError | ImportError | FloatingPointError
        ):
            text = f"{type(error).__name__}: {text}"
        if text:  # without a command typer has printed the help
            print(f"posemamba: {text}", file=sys.stderr)
    sys.exit(code or 0)
