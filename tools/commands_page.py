"""Writes what `book/commands.md` shows of the code: every command's options, and the kept networks.

    python -m tools.commands_page

The tables stand between `<!-- NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from pathlib import Path

import typer

from posemamba import PoseMambaConfig
from posemamba.accounting import count
from posemamba.cli import app
from posemamba.storage import asset, atomic_path, read_json
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
    argument = parameter.param_type_name == "argument"
    names = [parameter.metavar or parameter.name.upper()] if argument else parameter.opts
    said = " ".join((parameter.help or "").split()).replace("|", "\\|")
    default = parameter.default
    if isinstance(default, bool):
        told = (
            parameter.opts[0] if default else parameter.secondary_opts[0] if parameter.secondary_opts else ""
        )
        default = f"`{told}`" if told else ""
        names = [*parameter.opts, *parameter.secondary_opts]
    else:
        default = "" if default in (None, (), [], "") else f"`{default}`"
    return f"| {', '.join(f'`{name}`' for name in names)} | {said} | {default} |"


def options(name: str, command) -> str:
    """What a command is for, and its table."""
    head = ["| option | what it does | default |", "|---|---|---|"]
    rows = [option(each) for each in command.params if each.name != "help"]
    about = " ".join((command.help or "").split("\n\n")[0].split())
    return "\n".join([f"### posemamba {name}", "", about, "", *head, *rows])


def network(name: str) -> str:
    """A row of the table of kept networks."""
    config = {key: value for key, value in read_json(asset(name) / "config.json").items()}
    known = {key: config[key] for key in PoseMambaConfig.__dataclass_fields__ if key in config}
    size = count(PoseMambaConfig(**known)).parameters / 1e6
    shape = f"{config['depth']} of {config['channels']}"
    return (
        f"| `{name}` | {size:.2f} M | {shape} | {config['frames']} | `{config['scan']}` | {NETWORKS[name]} |"
    )


def tables() -> dict[str, str]:
    """The page's tables by their names."""
    head = [
        "| name | parameters | blocks, channels | frames | strategy | chapter |",
        "|---|---|---|---|---|---|",
    ]
    each = "\n\n".join(options(name, command) for name, command in commands().items())
    return {"networks": "\n".join(head + [network(name) for name in NETWORKS]), "options": each}


def page(text: str) -> str:
    """The page's text with the tables as the code has them."""
    return fill(text, tables())


def main() -> None:
    """Write the page."""
    text = page(PAGE.read_text(encoding="utf-8"))
    with atomic_path(PAGE) as path:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
