"""From a differential equation to a recurrence: three rules, each for a full and for a diagonal A.

The paper's Equation 1, `h'(t) = A h(t) + B u(t)`, becomes the recurrence `h <- A_bar h + B_bar u` of its
Equation 4 (the paper writes x for the input u). While u is held for one step, Equation 2 gives exactly

    `A_bar = exp(A step)` and `B_bar = (integral of exp(A s) ds for s from 0 to step) B`,

the zero-order hold. The paper and Mamba keep that A_bar and shorten B_bar to `step B`. All functions are
differentiable, take real or complex numbers of any floating-point type, and broadcast over leading axes.
A_bar and B_bar come in the shapes of A and B and in their common type, which is computed in 32 bits at least.
"""

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

Matrix = Inexact[Tensor, "*#batch state state"]
Columns = Inexact[Tensor, "*#batch state inputs"]
Diagonal = Inexact[Tensor, "*#batch state"]
Step = Float[Tensor, "*#batch"] | float

# Taylor coefficients of phi. Inside |x| < 1/2 the first one left out adds less than 1e-19.
_SERIES = [1 / math.factorial(k + 1) for k in range(16)]


def phi(x: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
    """`(exp(x) - 1) / x`, and 1 at x = 0: the mean of `exp(x s)` for s from 0 to 1; x may be complex (the
    phi_1 of Hochbruck and Ostermann, 2010).

    Coded as written it is 0/0 at zero and loses its digits near zero. With expm1 the value is good, but its
    derivative, `(exp(x) x - expm1(x)) / x^2`, is still a small difference over a small square. So a short
    Taylor series stands in where x is less than 1/2 from 0: value and gradient are good to rounding.
    """
    wide = x.to(_wide(x.dtype))
    near = wide.abs() < 0.5
    # Each branch sees only arguments it can take: a nan in the branch not chosen would poison the gradient.
    inside, outside = torch.where(near, wide, 0), torch.where(near, 1, wide)
    series = torch.full_like(inside, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        series = series * inside + coefficient
    return torch.where(near, series, torch.expm1(outside) / outside).to(x.dtype)


def zoh(A: Matrix, B: Columns, step: Step) -> tuple[Matrix, Columns]:
    """Exact zero-order hold for a full A, which may be singular.

    The textbook `B_bar = A^-1 (exp(A step) - 1) B` asks for an inverse that a pure integrator does not
    have. Treat the held input as more states, which never change: `(h, u)' = [[A, B], [0, 0]] (h, u)`. The
    exponential of that one matrix times the step is `[[A_bar, B_bar], [0, 1]]` (Van Loan, 1978). It is
    Equation 4 without its approximation.

    Args:
        A: state matrix, `(*batch, N, N)`.
        B: input matrix, `(*batch, N, M)` for M inputs; one input is a column, M = 1.
        step: how long the input is held, >= 0, in the time unit of A; a number or `(*batch)`.

    Raises:
        TypeError: A or B is not a floating-point tensor.
        ValueError: A is not square, or B does not have N rows; of a diagonal A, B differs from it in N.
    """
    A, B, step, narrow = _prepared(A, B, step, 2)
    state, inputs = B.shape[-2:]
    upper = torch.cat([A, B], dim=-1) * step
    both = torch.linalg.matrix_exp(torch.nn.functional.pad(upper, (0, 0, 0, inputs)))
    return both[..., :state, :state].to(narrow), both[..., :state, state:].to(narrow)


def zoh_diagonal(A: Diagonal, B: Diagonal, step: Step) -> tuple[Diagonal, Diagonal]:
    """Exact zero-order hold for a diagonal A, as `zoh`, at and near A = 0 too (Gu and Dao, 2023, Equation 4).

    `A_bar = exp(A step)` and `B_bar = (exp(A step) - 1) / A B = phi(A step) step B`. With A = -1, B = 1
    and `step = softplus(s)` these are `1 - sigmoid(s)` and `sigmoid(s)`: a gated recurrence
    (their Theorem 1).

    Args:
        A, B: the diagonal, and the input's weight on each state, `(*batch, N)`.
        step: as for `zoh`, the same for all N states. A (N,), B (L, N) and step (L,) give a recurrence that
            changes from token to token.
    """
    A, B, step, narrow = _prepared(A, B, step, 1)
    return torch.exp(A * step).to(narrow), (phi(A * step) * step * B).to(narrow)


def first_order(A: Matrix, B: Columns, step: Step) -> tuple[Matrix, Columns]:
    """The paper's form (Equation 4) for a full A, as `zoh`, but with `B_bar = step B`.

    B_bar is off by `A B step^2 / 2` and smaller terms in each step, so over a fixed time the state is off by
    an amount that halves with the step: first order.
    """
    A, B, step, narrow = _prepared(A, B, step, 2)
    return torch.linalg.matrix_exp(A * step).to(narrow), (B * step).to(narrow)


def first_order_diagonal(A: Diagonal, B: Diagonal, step: Step) -> tuple[Diagonal, Diagonal]:
    """The paper's form for a diagonal A, as `zoh_diagonal`, but with `B_bar = step B`: what Mamba runs.

    For A < 0 its B_bar is too large by the factor `1 / phi(A step)`, about `1 + |A step| / 2`, and grows
    without bound where the exact one levels off at `B / |A|`.
    """
    A, B, step, narrow = _prepared(A, B, step, 1)
    return torch.exp(A * step).to(narrow), (B * step).to(narrow)


def bilinear(A: Matrix, B: Columns, step: Step) -> tuple[Matrix, Columns]:
    """Bilinear (Tustin's, trapezoidal) rule for a full A: second order, and no exponential.

    `A_bar = (1 - A step/2)^-1 (1 + A step/2)`, `B_bar = (1 - A step/2)^-1 step B`. A stable A gives a stable
    recurrence at every step; of another A, 2 / step must not be an eigenvalue. Arguments as in `zoh`. (Gu,
    Goel and Ré, 2022, Equation 3.)
    """
    A, B, step, narrow = _prepared(A, B, step, 2)
    state, half = A.shape[-1], A * step / 2
    one = torch.eye(state, dtype=A.dtype, device=A.device)
    both = torch.linalg.solve(one - half, torch.cat([one + half, B * step], dim=-1))
    return both[..., :state].to(narrow), both[..., state:].to(narrow)


def bilinear_diagonal(A: Diagonal, B: Diagonal, step: Step) -> tuple[Diagonal, Diagonal]:
    """`bilinear` for a diagonal A: `A_bar = (1 + x) / (1 - x)`, `B_bar = step B / (1 - x)`, x = A step/2.

    For A < 0 and a long step A_bar goes to -1 where `exp(A step)` goes to 0: the state flips its sign
    instead of fading.
    """
    A, B, step, narrow = _prepared(A, B, step, 1)
    half = A * step / 2
    return ((1 + half) / (1 - half)).to(narrow), (B * step / (1 - half)).to(narrow)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type to compute in: half precision has too few digits, and no linear solver on a CPU."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def _prepared(A: Tensor, B: Tensor, step: Step, axes: int) -> tuple[Tensor, Tensor, Tensor, torch.dtype]:
    """A and B of so many axes after their common batch, the step to multiply them, and the result's type."""
    for name, value in (("A", A), ("B", B)):
        if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()):
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a floating-point tensor, found {found}.")
    mine, others = tuple(A.shape), tuple(B.shape)
    if axes == 1 and (not mine or not others or mine[-1] != others[-1]):
        raise ValueError(f"A and B must end in the same number of states, found {mine} and {others}.")
    if axes == 2 and (len(mine) < 2 or mine[-1] != mine[-2]):
        raise ValueError(f"A must have shape (*batch, N, N), found {mine}.")
    if axes == 2 and (len(others) < 2 or others[-2] != mine[-1]):
        raise ValueError(f"B must have shape (*batch, {mine[-1]}, inputs) like A, found {others}.")
    narrow = torch.promote_types(A.dtype, B.dtype)
    wide, batch = _wide(narrow), torch.broadcast_shapes(mine[:-axes], others[:-axes])
    A, B = (value.to(wide).expand(*batch, *value.shape[-axes:]) for value in (A, B))
    step = torch.as_tensor(step, dtype=wide.to_real(), device=A.device)
    return A, B, step.reshape(*step.shape, *(1,) * axes), narrow
