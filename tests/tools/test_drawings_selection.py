"""What the drawings of "Selection" show is what the chapter prints and the package has."""

import re
from pathlib import Path

import pytest

from tools import drawings, notebooks
from tools.drawings import selection

CHAPTER = Path(__file__).resolve().parents[2] / "book/state_spaces/selection.ipynb"


@pytest.mark.parametrize("sequence", selection.SEQUENCES)
def test_the_clock_shows_sequences_that_the_chapter_prints(sequence):
    printed = [
        output["text"]
        for cell in notebooks.read(CHAPTER).cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    assert any(sequence in text for text in printed)
    assert len(sequence) == 24 and sequence.endswith("???")
    # Without the dots each letter stands three before its question.
    assert re.fullmatch("[A-H]{3}[?]{3}", sequence.replace("\u00b7", ""))


def test_numbers_belong_to_what_the_box_says():
    from posemamba.model import PoseMambaConfig, SpatioTemporalSSM

    config = PoseMambaConfig(channels=16)
    layer, directions = SpatioTemporalSSM(config), 4
    assert layer.A_log.shape == (directions, config.inner, config.state), "channel and state"
    assert layer.skip.shape == layer.step_bias.shape == (directions, config.inner), "channel"
    assert layer.step.shape == (directions, config.inner, config.rank), (
        "one step a channel, of the short form"
    )
    width = config.rank + 2 * config.state  # the short form, and B and C by state alone
    assert layer.select.shape == (directions, width, config.inner), "of all channels"
    alt = re.search("<desc>(.*)</desc>", drawings.draw("whose"))[1]
    for told in ("front, token by channel, stand u, the step delta and y", "top, token by state, B and C"):
        assert told in alt
    assert "channel by state, A; along an edge, channels alone, D and the step" in alt
