import itertools
import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from posemamba.motion.noise import DetectorNoise
from posemamba.skeleton import JOINT_NAMES

OFF = DetectorNoise(
    jitter=0, limb_swaps=0, body_swaps=0, dropouts=0, frozen=0, confidence=1, confidence_noise=0
)
TRUNK = [0, 7, 8, 9, 10]


def bodies(n: int = 40, frames: int = 400, speed: float = 3.0) -> torch.Tensor:
    """Rigid bodies of extent 500 that glide over the image, pixels."""
    pose = torch.rand(17, 2, generator=torch.Generator().manual_seed(0)) * 300
    pose[0], pose[1] = torch.tensor([0.0, 0.0]), torch.tensor([300.0, 500.0])
    glide = speed * torch.arange(frames)[:, None, None] * torch.tensor([1.0, 0.5])
    return (pose + glide).expand(n, frames, 17, 2).clone()


def runs(on: torch.Tensor) -> list[int]:
    """The lengths of the runs of True along dim 1 that neither begin nor end with the sequence."""
    found = []
    for row in on.movedim(1, -1).reshape(-1, on.shape[1]).tolist():
        at = [i for i in range(1, len(row)) if row[i] != row[i - 1]]
        found += [b - a for a, b in itertools.pairwise(at) if row[a]]
    return found


def test_without_errors_the_joints_come_back():
    truth = bodies(3, 20)
    found, sure = OFF.apply(truth, seed=1)
    assert torch.equal(found, truth) and (sure == 1).all() and sure.shape == (3, 20, 17)


def test_jitter_is_as_large_as_stated_and_larger_at_the_ends():
    noise = replace(OFF, jitter=0.01, wrists=3, elbows=2, ankles=1.5, knees=1.2, correlation=2)
    truth = bodies()
    error = noise.apply(truth, seed=2)[0] - truth
    factors = {"wrist": 3, "elbow": 2, "ankle": 1.5, "knee": 1.2}
    for joint, name in enumerate(JOINT_NAMES):
        wanted = 0.01 * 500 * factors.get(name.split()[-1], 1)
        assert error[:, :, joint].std(dim=(0, 1)).sub(wanted).abs().max() < 0.05 * wanted
        assert abs(error[:, 0, joint].std() / wanted - 1) < 0.35, "from the first frame on"
    assert error.mean().abs() < 0.1
    by_pixel = noise.apply(truth, 1.0, 2)[0] - truth
    torch.testing.assert_close(by_pixel * 500, error, atol=0.05, rtol=0)


@pytest.mark.parametrize("time", [0, 1, 4, 20])
def test_jitter_correlates_in_time_as_stated(time):
    truth = bodies()
    error = (
        replace(OFF, jitter=0.01, correlation=time).apply(truth, seed=3)[0][:, :, TRUNK] - truth[:, :, TRUNK]
    )
    for lag in (1, 3, 10):
        found = (error[:, lag:] * error[:, :-lag]).mean() / error.square().mean()
        assert abs(found - (math.exp(-lag / time) if time else 0)) < 0.05


def test_swaps_exchange_limbs_or_the_whole_body_for_some_frames():
    truth = bodies(200)
    noise = replace(OFF, limb_swaps=0.05, swap_frames=6)
    found, sure = noise.apply(truth, seed=4)
    assert (sure == 1).all(), "nobody notices"
    moved = (found != truth).any(-1)
    assert not moved[..., TRUNK].any()
    legs, arms = moved[..., 1:7], moved[..., 11:]
    for limb in (legs, arms):
        assert torch.equal(limb.all(-1), limb.any(-1))
        assert abs(limb.float().mean() - 0.05) < 0.01
        lengths = runs(limb[..., 0])
        assert abs(sum(lengths) / len(lengths) - 6) < 0.6
    assert (legs.any(-1) != arms.any(-1)).any(), "each limb by itself"
    swapped = moved[..., 1]
    assert torch.equal(found[swapped][:, [1, 2, 3]], truth[swapped][:, [4, 5, 6]])
    whole = (replace(OFF, body_swaps=0.05).apply(truth, seed=4)[0] != truth).any(-1)
    assert torch.equal(whole[..., 1], whole[..., 16]) and abs(whole[..., 1].float().mean() - 0.05) < 0.01


def test_a_dropped_joint_is_far_away_and_doubted():
    truth = bodies(speed=0)
    found, sure = replace(OFF, dropouts=0.03, dropout_frames=4, dropout_distance=0.3).apply(truth, seed=5)
    away = (found - truth).norm(dim=-1) / 500
    lost = away > 0
    assert abs(lost.float().mean() - 0.03) < 0.005
    assert (
        away[lost].min() > 0.15 and abs(away[lost].mean() - 0.3 * (0.5 + 0.5 * math.sqrt(math.pi / 2))) < 0.02
    )
    assert sure[lost].max() < 0.3 and (sure[~lost] == 1).all()
    lengths = runs(lost)
    assert abs(sum(lengths) / len(lengths) - 4) < 0.4
    first = lost[:, 1:] & ~lost[:, :-1]
    assert found[:, 1:][first].std() > 10, "not at one place for all"


def test_a_frozen_joint_keeps_its_place_while_the_body_moves_on():
    truth = bodies()
    found, sure = replace(OFF, frozen=0.04, frozen_frames=8).apply(truth, seed=6)
    still = (found[:, 1:] == found[:, :-1]).all(-1)
    assert abs(still.float().mean() - 0.04) < 0.006
    lengths = runs(still)
    assert abs(sum(lengths) / len(lengths) - 8) < 0.8
    assert torch.equal(found[:, 1:][~still], truth[:, 1:][~still]), "then it is right again"
    assert (sure[:, 2:][still[:, 1:]] < 1).all()


def test_confidence_follows_the_error():
    truth = bodies(20)
    noise = replace(OFF, jitter=0.03, confidence=0.9, confidence_error=0.2)
    found, sure = noise.apply(truth, seed=7)
    error = (found - truth).norm(dim=-1) / 500
    torch.testing.assert_close(sure, 0.9 * torch.exp(-error / 0.2), atol=1e-4, rtol=0)
    ranks = []
    for spread in (0.02, 0.2):
        found, sure = replace(noise, confidence_noise=spread, correlation=0).apply(truth, seed=7)
        assert sure.min() >= 0 and sure.max() <= 1
        ranks.append(spearmanr(error_of(found, truth), sure.flatten()).statistic)
    assert ranks[0] < -0.95 < ranks[1] < -0.3


def error_of(found, truth):
    return (found - truth).norm(dim=-1).flatten()


def test_errors_depend_on_a_sequence_s_seed_and_on_no_other_sequence():
    truth, noise = bodies(6, 50).reshape(2, 3, 50, 17, 2), DetectorNoise()
    seeds = torch.tensor([[1, 2, 3], [4, 5, 2]])
    found, sure = noise.apply(truth, None, seeds)
    assert found.shape == truth.shape and sure.shape == truth.shape[:-1]
    for ours, theirs in zip(noise.apply(truth[1, 1], None, torch.tensor(5)), (found, sure), strict=True):
        assert torch.equal(ours, theirs[1, 1])
    assert torch.equal(found[0, 1], found[1, 2]) and not torch.equal(found[0, 0], found[0, 1])
    state = torch.get_rng_state()
    assert torch.equal(noise.apply(truth, seed=8)[0], noise.apply(truth, seed=8)[0])
    assert not torch.equal(noise.apply(truth, seed=8)[0], noise.apply(truth, seed=9)[0])
    generator = torch.Generator().manual_seed(8)
    assert torch.equal(noise.apply(truth, None, generator)[0], noise.apply(truth, seed=8)[0])
    assert not torch.equal(noise.apply(truth, None, generator)[0], noise.apply(truth, seed=8)[0])
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert torch.equal(truth, bodies(6, 50).reshape(truth.shape)), "the truth is not written to"


def test_bad_parameters_are_refused():
    for name, value in {
        **dict(jitter=-1, wrists=float("nan"), correlation=float("inf"), limb_swaps=1.5, confidence=1.1),
        **dict(swap_frames=0.5, frozen_frames=0, confidence_error=0),
    }.items():
        with pytest.raises(ValueError, match=f"the noise's {name} is {value}, expected"):
            DetectorNoise(**{name: value})
    with pytest.raises(ValueError, match=r"seeds have shape \(3,\), expected \(2,\)"):
        DetectorNoise().apply(bodies(2, 5), None, torch.arange(3))
    with pytest.raises(ValueError, match=r"pixels has shape \(5, 16, 2\)"):
        DetectorNoise().apply(torch.zeros(5, 16, 2))
    everything = DetectorNoise(limb_swaps=1, dropouts=1, frozen=1)
    assert all(part.isfinite().all() for part in everything.apply(bodies(2, 5)))
