"""Every file that the tests of reading write, of every format, is lifted as well."""

import importlib.util
import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from posemamba.lifting import lift_person

spec = importlib.util.spec_from_file_location("reading", Path(__file__).with_name("test_reading.py"))
reading = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reading)
TESTS = {
    name: test
    for name, test in vars(reading).items()
    if name.startswith("test_") and set(inspect.signature(test).parameters) <= {"tmp_path", "walk", "as_set"}
}


class Flat(torch.nn.Module):
    config = SimpleNamespace(frames=27, millimetres_per_unit=1000.0)

    def forward(self, points):
        return torch.nn.functional.pad(points, (0, 1))


@pytest.mark.parametrize("name", TESTS)
def test_what_is_read_is_lifted(name, tmp_path, walk, as_set, monkeypatch):
    read, lifted = reading.read, []

    def read_and_lift(*arguments, **options):
        found = read(*arguments, **options)
        for person in found.people:
            body = lift_person(Flat(), person, found.fps or 25, place=True)
            expected = 1000 * (person.normalised() - person.normalised()[:, :1])
            # Between 25 and 60 frames a second straight lines cut corners: by a quarter of a frame's bend.
            np.testing.assert_allclose(body.joints[..., :2], expected, atol=25)
            assert np.isfinite(body.placed).all() and (body.root[:, 2] > 0).all()
            assert (body.start, body.track, len(body)) == (person.start, person.track, len(person))
            lifted.append(len(body))
        return found

    monkeypatch.setattr(reading, "read", read_and_lift)
    given = dict(tmp_path=tmp_path, walk=walk, as_set=as_set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TESTS[name](**{word: given[word] for word in inspect.signature(TESTS[name]).parameters})
    assert lifted
