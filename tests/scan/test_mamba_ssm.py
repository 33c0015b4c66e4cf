"""The backend "mamba_ssm" against a stand-in that takes what that package's CUDA kernel takes, and no more.

The stand-in has the signature of mamba-ssm 2's `selective_scan_fn`, refuses the shapes and kinds of numbers
that its C++ code refuses, and computes the recurrence token by token.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch.testing import assert_close

import posemamba.scan
from posemamba.scan import directional_scan, selective_scan

HALVES = (torch.float32, torch.float16, torch.bfloat16)


def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False
):
    batch, channels, tokens = u.shape
    states = A.shape[1]
    assert u.dtype in HALVES and delta.dtype == u.dtype and A.dtype == torch.float32
    assert delta.shape == u.shape and A.shape == (channels, states) and states <= 256
    for value in (u, delta):
        assert value.stride(-1) == 1 or value.shape[-1] == 1
    per_token = []
    for value in (B, C):
        if value.dim() == 2:  # the same for all tokens
            assert value.shape == (channels, states) and value.dtype == torch.float32
            per_token.append(value[None, :, :, None].expand(batch, -1, -1, tokens))
            continue
        value = value[:, None] if value.dim() == 3 else value
        groups = value.shape[1]
        assert value.shape == (batch, groups, states, tokens) and value.dtype == u.dtype
        assert channels % groups == 0 and (value.stride(-1) == 1 or tokens == 1)
        per_token.append(value.float().repeat_interleave(channels // groups, dim=1))
    for value in (D, delta_bias):
        assert value is None or (value.shape == (channels,) and value.dtype == torch.float32)
    step = delta.float() if delta_bias is None else delta.float() + delta_bias[:, None]
    step = torch.nn.functional.softplus(step) if delta_softplus else step
    h, found = u.new_zeros(batch, channels, states, dtype=torch.float32), []
    for t in range(tokens):
        wrote = step[..., t, None] * per_token[0][..., t] * u[..., t, None].float()
        h = torch.exp(step[..., t, None] * A) * h + wrote
        found.append((h * per_token[1][..., t]).sum(-1))
    y = torch.stack(found, -1)
    y = y if D is None else y + D[:, None] * u.float()
    y = y if z is None else y * torch.nn.functional.silu(z.float())
    return (y.to(u.dtype), h) if return_last_state else y.to(u.dtype)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """As if the package were here, and a CPU would do for it."""
    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[name].selective_scan_fn = selective_scan_fn
    monkeypatch.setattr(posemamba.scan, "_choose", lambda backend, device: backend)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


CASES = {
    "plain": dict(),
    "with a skip, a bias and a gate": dict(
        D=draw(6), delta_bias=draw(6), z=draw(2, 6, 9), delta_softplus=True
    ),
    "one group without its axis": dict(B=draw(2, 4, 9), C=draw(2, 4, 9, seed=1)),
    "three groups": dict(B=draw(2, 3, 4, 9), C=draw(2, 3, 4, 9, seed=1)),
    "B and C for all tokens": dict(B=draw(6, 4), C=draw(6, 4, seed=1)),
    "B alone for all tokens": dict(B=draw(6, 4)),
    "strided": dict(u=draw(2, 9, 6).mT, delta=draw(2, 9, 6).mT.abs()),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_a_selective_scan_is_translated(case, dtype):
    given = dict(u=draw(2, 6, 9), delta=draw(2, 6, 9).abs() / 4, A=-draw(6, 4).abs())
    given |= dict(B=draw(2, 1, 4, 9), C=draw(2, 1, 4, 9, seed=1)) | CASES[case]
    for name in ("u", "delta", "z"):
        given[name] = given[name].to(dtype) if isinstance(given.get(name), torch.Tensor) else None
    for name in ("B", "C"):
        given[name] = given[name].to(dtype) if given[name].dim() > 2 else given[name]
    theirs, ours = (
        selective_scan(**given, return_last_state=True, backend=backend)
        for backend in ("mamba_ssm", "reference")
    )
    wide = dict(rtol=2e-2, atol=3e-2) if dtype == torch.bfloat16 else dict(rtol=1e-4, atol=1e-5)
    for found, expected in zip(theirs, ours, strict=True):
        assert found.dtype == expected.dtype
        assert_close(found, expected, **wide)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_directional_scan_is_translated(mixed):
    K, L, inner, N, rank = 3, 8, 5, 4, 2
    reads = torch.stack([torch.randperm(L, generator=torch.Generator().manual_seed(k)) for k in range(K)])
    given = dict(x=draw(2, L, inner), delta=draw(2, K, L, rank), A=-draw(K, inner, N).abs())
    given |= dict(B=draw(2, K, L, N), C=draw(2, K, L, N, seed=1), D=draw(K, inner), reads=reads.int())
    given |= dict(delta_projection=draw(K, inner, rank), delta_bias=draw(K, inner), delta_softplus=True)
    given |= dict(mixes=torch.where(reads % 3 == 0, reads, -1).int()) if mixed else {}
    theirs, ours = (directional_scan(**given, backend=backend) for backend in ("mamba_ssm", "reference"))
    assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_gradients_go_through():
    given = dict(u=draw(1, 4, 7), delta=draw(1, 4, 7).abs() / 4, A=-draw(4, 3).abs())
    given |= dict(B=draw(1, 1, 3, 7), C=draw(1, 1, 3, 7, seed=1), D=draw(4))
    found = []
    for backend in ("mamba_ssm", "reference"):
        leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
        selective_scan(**leaves, backend=backend).square().sum().backward()
        found.append([leaf.grad for leaf in leaves.values()])
    assert_close(*found, rtol=1e-4, atol=1e-5)


def test_what_it_lacks_is_said():
    given = dict(u=draw(1, 4, 7), delta=draw(1, 4, 7).abs(), A=-draw(4, 3).abs())
    given |= dict(B=draw(1, 1, 3, 7), C=draw(1, 1, 3, 7))
    with pytest.raises(ValueError, match="the backend 'mamba_ssm' has no initial_state"):
        selective_scan(**given, initial_state=draw(1, 4, 3), backend="mamba_ssm")
