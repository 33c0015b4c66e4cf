"""Writes what `book/commands.md` shows of the code: every command's options, and the kept networks.

    python -m tools.commands_page

The tables stand between `<!-- NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from pathlib import Path

import typer

from posemamba import PoseMamba
from posemamba.cli import app
from posemamba.storage import atomic_path
from tools.pages import fill

PAGE = Path(__file__).parents[1] / "book" / "commands.md"
#: The kept networks, in the order of the page, and the chapters that they belong to.
NETWORKS = {
    "open": "[In the wild](meaning/in_the_wild.ipynb)",
    "small_cmu": "[A first training run](training/a_first_training_run.ipynb)",
    "open_S": "[The full training run](training/the_full_training_run.ipynb)",
    "small_orders": "[Does the order matter?](meaning/does_the_order_matter.ipynb)",
}


def commands() -> dict:
    """The commands by name, those of `posemamba data` as "data NAME"."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {sub}": each for sub, each in below.items()} if below else {name: command}
    return found


def option(parameter) -> str:
    """A row of a command's table."""
    names, default = [*parameter.opts, *parameter.secondary_opts], parameter.default
    if parameter.param_type_name == "argument":
        names = [parameter.metavar or parameter.name.upper()]
    if isinstance(default, bool):  # a switch: the name that leaves it as it is
        default = "".join((parameter.opts if default else parameter.secondary_opts)[:1])
    default = f"`{default}`" if default not in (None, (), [], "") else ""
    said = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| {', '.join(f'`{name}`' for name in names)} | {said} | {default} |"


def options(name: str, command) -> str:
    """What a command is for, and its table."""
    head = ["| option | what it does | default |", "|---|---|---|"]
    rows = [option(each) for each in command.params if each.name != "help"]
    about = " ".join((command.help or "").split("\n\n")[0].split())
    return "\n".join([f"### posemamba {name}", "", about, "", *head, *rows])


def network(name: str) -> str:
    """A row of the table of kept networks."""
    model = PoseMamba.from_pretrained(name)
    size = sum(weights.numel() for weights in model.parameters()) / 1e6
    its = model.config
    unit = f"{its.millimetres_per_unit / 1000:g} m" if its.millimetres_per_unit else "half a width, 2.5D"
    shape = f"{its.depth} of {its.channels} | {its.frames} | `{its.scan}` | {unit}"
    return f"| `{name}` | {size:.2f} M | {shape} | {NETWORKS[name]} |"


def tables() -> dict[str, str]:
    """The page's tables by their names."""
    head = [
        "| name | parameters | blocks, channels | frames | strategy | unit of its answer | chapter |",
        "|---|---|---|---|---|---|---|",
    ]
    each = "\n\n".join(options(name, command) for name, command in commands().items())
    return {"networks": "\n".join(head + [network(name) for name in NETWORKS]), "options": each}


def page(text: str) -> str:
    """The page's text with the tables as the code has them."""
    return fill(text, tables())


if __name__ == "__main__":
    with atomic_path(PAGE) as path:
        path.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
