"""The page of the command line: as the code has it."""

import re

from posemamba import storage
from tools import commands_page


def test_the_page_of_commands_is_as_the_code_has_it():
    text = commands_page.PAGE.read_text(encoding="utf-8")
    assert commands_page.page(text) == text, "run python -m tools.commands_page"
    kept = {path.parent.name for path in storage.asset("open").parent.glob("*/config.json")}
    assert set(commands_page.NETWORKS) == kept
    for line in (
        "| `--released` |",
        "### posemamba data check",
        "| `--flip`, `--no-flip` |",
        "| `OUT.onnx` |",
    ):
        assert line in text, line


def test_commands_on_the_page_take_the_options_that_it_shows():
    known = {
        name: {word for each in command.params for word in (*each.opts, *each.secondary_opts)}
        for name, command in commands_page.commands().items()
    }
    shown = re.findall(
        r"^posemamba (\w+(?: check)?) ?(.*?)(?:\s#.*)?$", commands_page.PAGE.read_text("utf-8"), re.M
    )
    assert len(shown) > 8
    for name, rest in shown:
        for word in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert word in known[name], (name, word)
