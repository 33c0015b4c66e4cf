"""Every way to take a derivative of a scan gives the right one, or one sentence: none is silently zero."""

import pytest
import torch
from torch.autograd import forward_ad

from posemamba.scan import directional_scan, selective_scan

K, L, INNER, N, RANK = 2, 7, 3, 2, 2


def leaves(kind: str) -> dict[str, torch.Tensor]:
    """Arguments in float64 by name; all of them have derivatives."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    if kind == "directional":
        A, matrices = -draw(K, INNER, N).abs(), draw(2, 2, K, L, N)
        values = dict(x=draw(2, L, INNER), delta=draw(2, K, L, RANK), A=A, B=matrices[0], C=matrices[1])
        few = dict(D=draw(K, INNER), delta_bias=draw(K, INNER), delta_projection=draw(K, INNER, RANK))
        return values | few
    B, C = draw(2, 2, 2, N, L)
    values = dict(u=draw(2, 4, L), delta=draw(2, 4, L), A=-draw(4, N).abs(), B=B, C=C, D=draw(4))
    values |= dict(z=draw(2, 4, L), delta_bias=draw(4), initial_state=draw(2, 4, N))
    return values | (dict(B=draw(4, N)) if kind == "constant B" else {})


def scan(kind: str, backend: str):
    """A function of the arguments by name."""
    if kind != "directional":
        return lambda values: selective_scan(**values, delta_softplus=True, backend=backend)
    reads = torch.stack([torch.arange(L), torch.arange(L).flip(0)]).int()
    mixes = torch.tensor([[-1, 0, 0, 4, -1, -1, 6]] * 2).int()
    return lambda values: directional_scan(
        **values, reads=reads, mixes=mixes, delta_softplus=True, backend=backend
    )


def loss(kind: str, backend: str):
    run = scan(kind, backend)
    return lambda values: run(values).square().sum()


def same(found, expected) -> None:
    found, expected = (torch.utils._pytree.tree_leaves(value) for value in (found, expected))
    for a, b in zip(found, expected, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


KINDS = pytest.mark.parametrize("kind", ["selective", "constant B", "directional"])


@KINDS
def test_forward_mode(kind):
    values = leaves(kind)
    for name in values:
        tangent = torch.randn_like(values[name])

        def one(backend, name=name, tangent=tangent):
            return torch.func.jvp(
                lambda value: scan(kind, backend)(values | {name: value}), (values[name],), (tangent,)
            )

        expected = one("reference")
        same(one("numba"), expected)
        with forward_ad.dual_level():
            y = scan(kind, "auto")(values | {name: forward_ad.make_dual(values[name], tangent)})
            same(forward_ad.unpack_dual(y).tangent, expected[1])


@KINDS
@pytest.mark.parametrize("transform", ["grad", "jacrev", "jacfwd", "hessian"])
def test_transforms_of_torch_func(kind, transform):
    values = leaves(kind)
    few = {name: values[name] for name in ("A", "D", "delta_bias")}

    def take(backend):
        function = loss(kind, backend) if transform in ("grad", "hessian") else scan(kind, backend)
        return getattr(torch.func, transform)(lambda some: function(values | some))(few)

    same(take("numba"), take("reference"))


@KINDS
def test_a_gradient_for_each_item_of_a_batch(kind):
    values = leaves(kind)
    first = "x" if kind == "directional" else "u"

    def take(backend):
        def one(x, rates):
            return loss(kind, backend)(values | {first: x, "A": rates})

        several = torch.stack([values[first], values[first].flip(0), -values[first]])
        return torch.vmap(torch.func.grad(one, argnums=(0, 1)), in_dims=(0, None))(several, values["A"])

    same(take("numba"), take("reference"))


@KINDS
def test_batched_gradients(kind):
    found = []
    for backend in ("numba", "reference"):
        values = {name: value.requires_grad_() for name, value in leaves(kind).items()}
        y = scan(kind, backend)(values)
        weights = torch.randn(3, *y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        found.append(torch.autograd.grad(y, list(values.values()), weights, is_grads_batched=True))
    same(*found)


def test_an_ensemble_maps_over_its_weights():
    values = leaves("selective")
    rates = torch.stack([values["A"], 2 * values["A"], 3 * values["A"]])
    mapped = torch.vmap(lambda A: scan("selective", "numba")(values | dict(A=A)))(rates)
    same(mapped, torch.stack([scan("selective", "reference")(values | dict(A=A)) for A in rates]))


@pytest.mark.parametrize("how", ["twice backward", "autograd.functional.hessian", "grad of a kept vjp"])
def test_what_is_not_there_says_so(how):
    values = leaves("selective")
    function = loss("selective", "numba")
    A = values["A"].requires_grad_()
    with pytest.raises((NotImplementedError, RuntimeError), match="cannot be differentiated once more"):
        if how == "twice backward":
            (gradient,) = torch.autograd.grad(function(values), A, create_graph=True)
            gradient.sum().backward()
        elif how == "autograd.functional.hessian":
            torch.autograd.functional.hessian(lambda A: function(values | dict(A=A)), A)
        else:
            _, back = torch.func.vjp(lambda A: scan("selective", "numba")(values | dict(A=A)), A.detach())
            torch.func.grad(lambda v: back(v)[0].square().sum())(torch.ones_like(values["u"]))


def test_a_kept_gradient_in_forward_mode_says_so():
    values = leaves("selective")
    y, back = torch.func.vjp(lambda A: scan("selective", "numba")(values | dict(A=A)), values["A"])
    with pytest.raises(NotImplementedError, match="no forward-mode derivative; use backend='associative'"):
        torch.func.jvp(back, (torch.ones_like(y),), (torch.ones_like(y),))
    A = values["A"].requires_grad_()
    y = scan("selective", "numba")(values)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.autograd.grad(y, A, forward_ad.make_dual(torch.ones_like(y), torch.ones_like(y)))


def test_the_operator_itself_loses_no_tangent():
    from posemamba.scan.arguments import prepare

    values = leaves("selective")
    values = [values[name] for name in ("u", "delta", "A", "B", "C", "D")]
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        values[2] = forward_ad.make_dual(values[2], torch.ones_like(values[2]))
        torch.ops.posemamba.scan(*prepare(*values, None, None, True, None).flat, False, "numba")
