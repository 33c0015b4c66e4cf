"""What the commands print while they work."""

import subprocess
import sys

import pytest

from posemamba.cli.terminal import Progress


def figures(error: float, left: int, **more: float) -> dict[str, float]:
    return {"mpjpe_mm": error, "steps_left": left, "seconds_left": left * 20.0, **more}


def test_training_tells_where_it_is_and_how_long_it_takes(capsys):
    with Progress(None) as progress:
        progress.log(4, figures(100.0, 300))  # resumed
        progress.said -= 60  # a minute later
        progress.log(5, figures(50.0, 299, **{"validation/test/mpjpe_mm": 61.26}))
        progress.log(6, figures(50.0, 298))  # nothing, so soon after
        progress.log(304, figures(50.0, 0))
    assert capsys.readouterr().out.splitlines() == [
        "step 6: MPJPE 61.3 mm on the test split",
        "step 6 of 305: MPJPE 99.0 mm (training windows), 1 h 40 min left",
        "step 305 of 305: MPJPE 97.1 mm (training windows), 0 s left",
    ]


@pytest.mark.parametrize(("rank", "said"), [("0", "here\n"), ("1", "")])
def test_of_torchruns_processes_the_first_one_speaks(rank, said, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    code = "from posemamba.cli.terminal import out; out.print('here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == said
