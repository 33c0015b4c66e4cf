"""Figures of cost: what is drawn is Table 1 and the counts, and what was not recounted is told apart."""

import json

import numpy as np
import pytest

from posemamba.accounting import TABLE_1, count
from posemamba.book import measured
from posemamba.model import VARIANTS, PoseMambaConfig
from posemamba.plotting import crossings, error_against_macs, stacked_shares, where_the_work_goes

NAMES = {row.name for row in TABLE_1}


@pytest.fixture(scope="module")
def recounted():
    return {row["name"]: row["macs"] for row in measured("peer_counts")["rows"] if row["name"] in NAMES}


def points(figure, panel):
    """Name of the method -> x, y, symbol, text of where the number is from."""
    axis = {1: ("x", None), 2: ("x2",)}[panel]
    found = {}
    for trace in figure.data:
        if trace.mode != "lines" and trace.xaxis in axis:
            for x, y, symbol, (method, source) in zip(
                trace.x, trace.y, trace.marker.symbol, trace.customdata, strict=True
            ):
                found[method.split(",")[0]] = (x, y, symbol, source)
    return found


def test_the_upper_panel_is_the_papers(recounted):
    drawn = points(error_against_macs(recounted), panel=1)
    assert drawn.keys() == NAMES
    for row in TABLE_1:
        x, y, symbol, source = drawn[row.name]
        assert (x, y, source) == (row.macs_a_frame, row.p1, "paper")
        assert not symbol.endswith("open")


def test_the_lower_panel_divides_by_what_comes_out_and_leaves_hollow_what_was_not_counted(recounted):
    drawn = points(error_against_macs(recounted), panel=2)
    assert drawn.keys() == NAMES
    assert drawn["MHFormer"][0] == 7000 and drawn["MixSTE"][0] == pytest.approx(139e3 / 243, abs=0.01)
    for variant in VARIANTS:
        macs = count(PoseMambaConfig(**VARIANTS[variant])).macs
        assert drawn[f"PoseMamba-{variant}"][0] == pytest.approx(macs / 243e6, abs=0.01)
    for name, (_, _, symbol, source) in drawn.items():
        assert symbol.endswith("open") == (name not in recounted)
        assert ("not recounted" in source) == (name not in recounted)
    assert sum(name in recounted for name in drawn) == 6


def test_grey_lines_lead_from_the_papers_place_to_ours(recounted):
    figure = error_against_macs(recounted)
    (lines,) = (trace for trace in figure.data if trace.mode == "lines")
    upper, lower = points(figure, panel=1), points(figure, panel=2)
    for k, row in enumerate(TABLE_1):
        begin, end = upper[row.name], lower[row.name]
        assert (lines.x[3 * k], lines.x[3 * k + 1]) == (begin[0], end[0])
        assert lines.y[3 * k] == lines.y[3 * k + 1] == end[1]


def test_figure_1_has_alternative_text_and_stays_small(recounted):
    figure = error_against_macs(recounted)
    assert "L goes from 115 to 197 M" in figure.layout.meta["alt"]
    assert len(json.dumps(figure.to_plotly_json(), default=np.ndarray.tolist)) < 30_000


def test_a_method_that_table_1_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"recounted names \['Mambo'\], expected names of Table 1"):
        error_against_macs({"Mambo": 1})


def test_bars_hold_the_whole_count_and_hatch_what_the_paper_leaves_out():
    counts = {name: count(PoseMambaConfig(**VARIANTS[name])) for name in "SX"}
    figure = where_the_work_goes(counts)
    for k, counted in enumerate(counts.values()):
        amounts = {bar.name: bar.customdata[k] for bar in figure.data}
        norms = amounts.pop("layer norms")
        assert sum(amounts.values()) == pytest.approx(counted.macs / 1e9, rel=1e-4)
        seen = sum(amounts[bar.name] for bar in figure.data if bar.name in amounts and not hatched(bar))
        assert seen + norms == pytest.approx(counted.paper_macs / 1e9, rel=1e-4)
        assert sum(bar.x[k] for bar in figure.data) == pytest.approx(100, abs=0.05)
    assert {bar.name for bar in figure.data if hatched(bar)} == {"choosing step, B, C", "scan"}


def hatched(bar):
    return bar.marker.pattern.shape is not None


def test_shares_are_of_each_bar():
    figure = stacked_shares({"a": {"u": 1, "v": 3}, "b": {"v": 5, "u": 5}}, unit="s", title="Two")
    assert [list(bar.x) for bar in figure.data] == [[25, 50], [75, 50]]
    assert [list(bar.text) for bar in figure.data] == [["25%", "50%"], ["75%", "50%"]]
    assert figure.layout.meta["alt"] == "Stacked bars: Two. For a, b: u 25%, 50%; v 75%, 50%."


@pytest.mark.parametrize(
    ("bars", "hatched", "sentence"),
    [
        ({}, (), "bars have 0 parts, expected 1 to 6"),
        ({"a": dict.fromkeys("tuvwxyz", 1)}, (), "bars have 7 parts"),
        ({"a": {"u": 1}, "b": {"v": 1}}, (), r"bars\['b'\] has the parts \['v'\], expected \['u'\]"),
        ({"a": {"u": 0}}, (), r"bars\['a'\] has {'u': 0}, expected amounts of 0 or more"),
        ({"a": {"u": 2, "v": -1}}, (), "has {'u': 2, 'v': -1}, expected amounts"),
        ({"a": {"u": 1}}, ("w",), r"hatched names \['w'\], expected some of \['u'\]"),
    ],
)
def test_bars_that_make_no_sense_are_refused(bars, hatched, sentence):
    with pytest.raises(ValueError, match=sentence):
        stacked_shares(bars, unit="s", hatched=hatched)


def test_crossings_stand_on_one_axis_each_with_its_line():
    rows = {"counted": {"full": 31, "factored": 377}, "timed": {"full": (81, 162)}}
    figure = crossings(rows, reference=243, title="Where")
    full, factored = figure.data
    assert list(full.x) == pytest.approx([31, np.sqrt(81 * 162)]) and list(factored.x) == [377]
    assert list(full.text) == ["31", "81 to 162"] and list(full.y) == [0, 1] and list(factored.y) == [0]
    assert list(full.error_x.array) == pytest.approx([0, 162 - np.sqrt(81 * 162)])
    assert {note.text for note in figure.layout.annotations} == {"243", "counted", "timed"}
    low, high = 10 ** np.array(figure.layout.xaxis.range)
    assert low < 31 and high > 377 and figure.layout.xaxis.type == "log"
    assert "full 81 to 162 (timed)" in figure.layout.meta["alt"]
    with pytest.raises(ValueError, match="rows cross 0 things"):
        crossings({})
    with pytest.raises(ValueError, match="numbers above 0"):
        crossings({"a": {"b": (3, 2)}})
