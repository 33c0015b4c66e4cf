"""What makes a scan explode is found where it is asked for, in one sentence."""

import pytest
import torch

from posemamba.scan import check_stability, selective_scan


def inputs():
    torch.manual_seed(0)
    B, C = torch.randn(2, 2, 4, 40)
    return dict(u=torch.randn(2, 3, 40), delta=torch.rand(2, 3, 40), A=-torch.rand(3, 4), B=B, C=C)


def test_sound_steps_and_rates_pass():
    values = inputs()
    assert torch.equal(selective_scan(**values, check=True), selective_scan(**values))
    values["delta"] -= 5
    selective_scan(**values, delta_softplus=True, delta_bias=torch.ones(3), check=True)
    check_stability(torch.zeros(1, 2), torch.zeros(2, 2))


def test_negative_steps_are_counted_and_the_smallest_is_placed():
    values = inputs()
    values["delta"][1, 2, 5], values["delta"][0, 0, 1] = -3.25, -0.5
    with pytest.raises(ValueError, match=r"2 of 240 steps are negative, the smallest -3.25 at \(1, 2, 5\)$"):
        selective_scan(**values, check=True)
    selective_scan(**values)  # nobody asked


def test_a_bias_may_make_them_negative():
    values = inputs() | dict(delta_bias=torch.tensor([0.0, -9.0, 0.0]))
    with pytest.raises(ValueError, match=r"80 of 240 steps are negative, the smallest -9 at \(\d, 1, \d+\)"):
        selective_scan(**values | dict(delta=torch.rand(2, 3, 40) * 1e-6), check=True)
    with pytest.raises(ValueError, match=r"120 of 360 steps are negative"):  # as directional_scan has them
        check_stability(torch.zeros(3, 2, 20, 3), -torch.ones(2, 3, 4), torch.tensor([[0, -1, 1.0]] * 2))
    with pytest.raises(ValueError, match=r"delta_bias has shape \(4,\)"):
        check_stability(torch.zeros(2, 3, 40), -torch.ones(3, 4), torch.zeros(4))


def test_positive_rates_and_what_is_not_finite_are_named():
    values = inputs()
    values["A"][2, 1], values["A"][0, 0] = 0.75, 0.5
    values["delta"][0, 1, 7] = float("nan")
    steps = r"1 of 240 steps are not finite, the first nan at \(0, 1, 7\)"
    rates = r"2 of 12 numbers of A are positive, the largest 0.75 at \(2, 1\)"
    with pytest.raises(ValueError, match=f"check_stability: {steps}; {rates}$"):
        selective_scan(**values, check=True)


def test_the_steps_of_a_blocks_record_are_checked_as_they_are():
    steps, A = torch.rand(2, 4, 34, 8), -torch.rand(4, 8, 16)
    check_stability(steps, A)
    steps[1, 3, 33, 0] = -1
    with pytest.raises(ValueError, match=r"1 of 2176 steps are negative, the smallest -1 at \(1, 3, 33, 0\)"):
        check_stability(steps, A)


def test_an_explosion_is_what_it_warns_of():
    values = inputs()
    values["A"] = torch.full((3, 4), 30.0)
    assert not selective_scan(**values).isfinite().all()
    with pytest.raises(ValueError, match="12 of 12 numbers of A are positive, the largest 30"):
        selective_scan(**values, check=True)
