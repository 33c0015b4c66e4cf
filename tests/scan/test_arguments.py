"""Wrong arguments of the scan: one sentence that names the argument."""

import numpy as np
import pytest
import torch

from posemamba.scan import checks, directional_scan, selective_scan


def selective(**change):
    good = dict(u=torch.zeros(2, 4, 8), delta=torch.zeros(2, 4, 8), A=torch.zeros(4, 3))
    good |= dict(B=torch.zeros(2, 3, 8), C=torch.zeros(2, 3, 8))
    return selective_scan(**good | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(u=torch.zeros(2, 8, 4)), "delta has shape"),
        (dict(u=torch.zeros(2, 8, 4), delta=torch.zeros(2, 8, 4)), "A has shape"),
        (dict(A=torch.zeros(3, 4)), "A has shape"),
        (dict(A=torch.zeros(4)), "A has shape"),
        (dict(A=-torch.rand(4, 257), B=torch.zeros(2, 257, 8), C=torch.zeros(2, 257, 8)), "A has .*256"),
        (dict(delta=torch.zeros(2, 4, 8, dtype=torch.int32)), "delta has dtype"),
        (dict(B=torch.zeros(2, 3, 8, dtype=torch.complex64)), "B is complex"),
        (dict(A=torch.zeros(4, 3, device="meta")), "A is on meta"),
        (dict(initial_state=torch.zeros(4, 3)), "initial_state has shape"),
        (dict(initial_state=torch.zeros(2, 3, 4)), "initial_state has shape"),
        (dict(B=torch.zeros(2, 3, 3, 8)), "B has shape .* groups"),
        (dict(B=torch.zeros(2, 2, 3, 8), C=torch.zeros(2, 4, 3, 8)), "B has 2 groups and C has 4"),
        (dict(delta_bias=torch.zeros(4, dtype=torch.int64)), "delta_bias has dtype"),
        (dict(D=1.0), "D must be a tensor"),
        (dict(u=torch.zeros(2, 4, 8).to(torch.float8_e4m3fn)), "u has dtype"),
    ],
)
def test_a_wrong_argument_of_selective_scan_is_named(change, message):
    with pytest.raises((ValueError, TypeError), match=f"selective_scan: {message}"):
        selective(**change)


def directional(**change):
    K, L = 2, 8
    good = dict(x=torch.zeros(2, L, 5), delta=torch.zeros(2, K, L, 5), A=torch.zeros(K, 5, 3))
    good |= dict(B=torch.zeros(2, K, L, 3), C=torch.zeros(2, K, L, 3), D=torch.zeros(K, 5))
    good |= dict(reads=torch.arange(L).expand(K, L).int(), mixes=torch.full((K, L), -1).int())
    return directional_scan(**good | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(x=torch.zeros(2, 1, 8, 5)), "x has shape"),
        (dict(x=torch.zeros(2, 5, 8)), "delta has shape"),
        (dict(x=None), "x must be a tensor"),
        (dict(A=torch.zeros(5, 3)), "A has shape"),
        (dict(A=torch.zeros(2, 5, 3, dtype=torch.complex64)), "A is complex"),
        (dict(B=torch.zeros(2, 2, 8, 3, dtype=torch.complex64)), "B is complex"),
        (dict(x=torch.zeros(2, 8, 5, dtype=torch.int64)), "x has dtype"),
        (dict(delta=torch.zeros(2, 2, 8, 5, dtype=torch.int64)), "delta has dtype"),
        (dict(A=torch.zeros(2, 5, 3, device="meta")), "A is on meta"),
        (dict(D=torch.zeros(5)), "D has shape"),
        (dict(D=None), "D must be a tensor"),
        (dict(delta_bias=[1.0]), "delta_bias must be a tensor"),
        (dict(A=-torch.rand(2, 5, 257), B=torch.zeros(2, 2, 8, 257)), "A has .*256"),
        (dict(reads=torch.arange(8.0).expand(2, 8)), "reads has dtype"),
        (dict(mixes=torch.zeros(2, 8)), "mixes has dtype"),
        (dict(reads=torch.zeros(2, 8, dtype=torch.int32, device="meta")), "reads is on meta"),
        (dict(reads=np.zeros((2, 8), np.int32)), "reads must be a tensor"),
    ],
)
def test_a_wrong_argument_of_directional_scan_is_named(change, message):
    with pytest.raises((ValueError, TypeError), match=f"directional_scan: {message}"):
        directional(**change)


@pytest.mark.parametrize("table", ["twice the same", "past the end", "negative", "wraps around"])
def test_reads_must_be_permutations(table):
    good = torch.arange(8).expand(2, 8).clone()
    twice = good.clone()
    twice[1, 3] = 4
    with pytest.raises((ValueError, IndexError), match="reads"):
        directional(reads=twice)  # harmless where it is not checked, so it comes before those that are not
    wrong = good.clone()
    wrong[1, 3] = {"twice the same": 4, "past the end": 8, "negative": -1, "wraps around": 2**32 + 3}[table]
    with pytest.raises((ValueError, IndexError), match="reads"):
        directional(reads=wrong)


@pytest.mark.parametrize("token", [8, 2**31 - 1])
def test_mixes_must_be_tokens(token):
    more = torch.zeros(1, 9, 5)  # one token beyond the end can be read without harm
    matrices = torch.zeros(1, 2, 8, 3)
    one = dict(x=more[:, :8], delta=torch.zeros(1, 2, 8, 5), B=matrices, C=matrices)
    mixes = torch.full((2, 8), -1).int()
    mixes[1, 3] = 8
    with pytest.raises((ValueError, IndexError), match="mixes"):
        directional(**one, mixes=mixes)
    mixes[1, 3] = token
    with pytest.raises((ValueError, IndexError), match="mixes"):
        directional(**one, mixes=mixes)


def all_of_directional():
    tables = torch.arange(8).expand(2, 8).clone(), torch.full((2, 8), -1)
    few = dict(D=torch.zeros(2, 5), delta_bias=torch.zeros(2, 5), delta_projection=torch.zeros(2, 5, 5))
    many = dict(x=torch.zeros(2, 8, 5), delta=torch.zeros(2, 2, 8, 5), A=torch.zeros(2, 5, 3))
    return many | few | dict.fromkeys("BC", torch.zeros(2, 2, 8, 3)) | dict(reads=tables[0], mixes=tables[1])


def all_of_selective():
    few = dict(D=torch.zeros(4), z=torch.zeros(2, 4, 8), delta_bias=torch.zeros(4))
    few |= dict(initial_state=torch.zeros(2, 4, 3), A=torch.zeros(4, 3))
    return few | dict.fromkeys("BC", torch.zeros(2, 3, 8)) | dict.fromkeys(("u", "delta"), few["z"])


SCANS = ((directional_scan, "x", all_of_directional), (selective_scan, "u", all_of_selective))


@pytest.mark.parametrize(("scan", "name"), [(s, n) for s in SCANS for n in s[2]() if n != s[1]])
def test_each_argument_on_another_device_is_refused(scan, name):
    scan, first, make = scan
    given = make()
    scan(**given)
    given[name] = given[name].to("meta")
    with pytest.raises(ValueError, match=f"{name} is on meta, {first} is on cpu"):
        scan(**given)


def test_tables_are_looked_at_once_and_again_where_they_were_changed(monkeypatch):
    given, looked, aminmax = all_of_directional(), [], torch.aminmax
    monkeypatch.setattr(checks.torch, "aminmax", lambda table: (looked.append(table), aminmax(table))[1])
    for _ in range(3):  # not by "numba", whose operator also looks at what compiled code hands it
        directional_scan(**given, backend="associative")
    assert [id(table) for table in looked] == [id(given["reads"]), id(given["mixes"])]
    given["mixes"][1, 3] = 8
    with pytest.raises(ValueError, match="mixes holds -1 to 8"):
        directional_scan(**given, backend="associative")
    given["mixes"][1, 3] = 7
    given["reads"] = given["reads"].flip(1)
    directional_scan(**given, backend="associative")
    assert len(looked) == 5
    with pytest.raises(ValueError, match="reads holds -1 to 7, expected 0 to 7"):  # right as mixes alone
        directional_scan(**given | dict(mixes=None, reads=given["mixes"]), backend="associative")


@pytest.mark.parametrize("backend", ["associative", "numba"])
def test_tables_may_be_of_inference_mode_and_vmap(backend):
    given = all_of_directional()
    given |= {name: torch.rand_like(given[name]) for name in ("x", "delta", "B", "C")}
    with torch.inference_mode():
        made = {name: given[name].clone() for name in ("reads", "mixes")}
        once = directional_scan(**given | made, backend=backend)
        made["reads"][0, 0] = 1
        with pytest.raises(ValueError, match="permutation"):
            directional_scan(**given | made, backend=backend)
    reads = torch.stack([given.pop("reads"), torch.arange(7, -1, -1).expand(2, 8)])
    each = torch.vmap(lambda reads: directional_scan(**given, reads=reads, backend=backend))(reads)
    torch.testing.assert_close(each[0], once)
    torch.testing.assert_close(each[1], directional_scan(**given, reads=reads[1], backend=backend))
