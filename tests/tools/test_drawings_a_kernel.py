"""The drawings of "A kernel you can read" show what its programs and the package do."""

import ast
import math
import re
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from posemamba.scan.cpu.lanes import LANES
from tools import drawings, notebooks
from tools.drawings import a_kernel

CHAPTER = Path(__file__).resolve().parents[2] / "book/state_spaces/a_kernel_you_can_read.ipynb"
WIDE, N = 2, 3  # numbers in a vector, and states, for the test


class Watched(np.ndarray):
    """An array that remembers in which order its numbers were read."""

    walk: list | None = None

    def __getitem__(self, place):
        if self.walk is not None:
            self.walk.append((place[0], place[1] // WIDE))
        return super().__getitem__(place)


def program(name: str):
    """A function of the chapter, in plain Python."""
    for cell in notebooks.read(CHAPTER).cells:
        if cell.cell_type == "code" and f"def {name}(" in cell.source:
            function = next(part for part in ast.parse(cell.source).body if getattr(part, "name", "") == name)
            function.decorator_list = []
            return compile(ast.Module([function], []), name, "exec")
    raise AssertionError(f"the chapter has no {name}")


def load(array, row, column):
    if getattr(array, "walk", None) is not None:
        array.walk.append((row, column // WIDE))
    return np.array(np.asarray(array)[row, column : column + WIDE])


def put(array, row, value):
    array[row] = value


def store(array, row, column, value):
    array[row, column : column + WIDE] = value


def walked(name: str, rung: int):
    rng = np.random.default_rng(0)
    tokens, inner = a_kernel.TOKENS, a_kernel.BLOCKS * WIDE
    u, B, C = rng.normal(size=(tokens, inner)), *rng.normal(size=(2, tokens, N))
    delta, A = rng.uniform(0.1, 1, size=(tokens, inner)), -np.arange(1.0, N + 1) * np.ones((inner, 1))
    known = dict(np=np, math=math, LANES=WIDE, TILE=a_kernel.TILE, LOG2E=1 / math.log(2), SAFE=125)
    known |= dict(load=load, put=put, store=store, get=lambda array, row: array[row].copy())
    known |= dict(spread=lambda x: np.full(WIDE, float(x)), rows=lambda count: np.zeros((count, WIDE)))
    known |= dict(exp2=np.exp2, power_=np.exp2, decay=lambda step, rate: np.exp2(step * rate))
    known["lanes"] = SimpleNamespace(larger=np.maximum, largest=np.max)
    exec(program("definition"), known)
    exec(program(name), known)
    watched = u.view(Watched)
    watched.walk = []
    found = known[name](watched, delta, A, B, C)
    np.testing.assert_allclose(np.asarray(found), known["definition"](u, delta, A, B, C), rtol=1e-6)
    return [cell for cell, _ in groupby(watched.walk)]


@pytest.mark.parametrize(("name", "rung"), [("definition", 0), ("compiled", 3), ("vectors", 6), ("tiles", 7)])
def test_rungs_walk_as_they_are_drawn(name, rung):
    assert walked(name, rung) == list(a_kernel.order(rung))


@pytest.mark.parametrize(("name", "rung"), [("side_by_side", 4), ("own_exponential", 5)])
def test_rungs_4_and_5_walk_a_row_once_for_each_state(name, rung):
    rows = [list(row) for _, row in groupby(a_kernel.order(rung), key=lambda cell: cell[0])]
    assert walked(name, rung) == [cell for row in rows for cell in N * row]


def test_fifteen_additions_make_sixteen_sums():
    rounds = a_kernel.fold([[[(row, lane)] for lane in range(LANES)] for row in range(LANES)])
    assert [len(rows) for rows in rounds] == [16, 8, 4, 2, 1], "an addition makes a row"
    assert sum(len(rows) for rows in rounds[1:]) == 15
    for row, number in enumerate(rounds[-1][0]):
        assert sorted(number) == [(row, lane) for lane in range(LANES)]


def test_chains_take_the_ticks_that_are_drawn():
    ticks = re.findall(r"8 results after (\d+) ticks", drawings.draw("chains"))
    # Each after the one before; or one begun at every tick, the last of which takes four.
    assert ticks == [str(8 * 4), str(7 + 4)]
