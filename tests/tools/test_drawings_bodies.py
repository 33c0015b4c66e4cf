"""What the drawings of bodies, blocks and errors say is what the package does."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from posemamba import orders
from posemamba.config import VARIANTS, PoseMambaConfig
from posemamba.model import PoseMamba
from posemamba.skeleton import BONES, JOINT_NAMES, JOINTS, LIMB_ORDER
from tools import drawings
from tools.drawings import a_first_training_run, from_a_body, the_block

SVG = "{http://www.w3.org/2000/svg}"
OWN = [
    name
    for name, function in drawings.DRAWINGS.items()
    if function.__module__ in {module.__name__ for module in (a_first_training_run, from_a_body, the_block)}
]


def texts(name):
    """The words of a drawing, as (x, y, text)."""
    found = ElementTree.fromstring(drawings.draw(name)).iter(f"{SVG}text")
    return [(float(text.get("x")), float(text.get("y")), text.text) for text in found]


def row(name, y):
    """The words of a drawing that stand on one height, from the left."""
    return [text for _, _, text in sorted(found for found in texts(name) if found[1] == y)]


def alt(name):
    return drawings.DRAWINGS[name]()[1]


def test_each_chapter_has_its_drawings():
    chapters = [drawings.DRAWINGS[name].__module__.rsplit(".", 1)[1] for name in OWN]
    assert {chapter: chapters.count(chapter) for chapter in chapters} == {
        "from_a_body": 7,
        "the_block": 5,
        "a_first_training_run": 3,
    }


@pytest.mark.parametrize("name", OWN)
def test_no_word_is_cut_at_the_edge(name):
    for text in ElementTree.fromstring(drawings.draw(name)).iter(f"{SVG}text"):
        x, wide = float(text.get("x")), 0.47 * float(text.get("font-size")) * len(text.text)
        left = x - {None: 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
        assert left >= 0 and left + wide <= 520, text.text


def test_the_skeleton_has_every_bone_and_every_number():
    told = [text for _, _, text in texts("numbered_skeleton")]
    pairs = re.findall(r"(\d+)\u2013(\d+)", " ".join(told))
    assert sorted((int(a), int(b)) for a, b in pairs) == sorted(BONES)
    numbers = [int(text) for text in told if text.isdigit()]
    assert sorted(numbers) == sorted([*range(JOINTS), *range(JOINTS)]), "on the body, and in the row"
    bars = len(re.findall(r'y1="434" .*y2="434"', drawings.draw("numbered_skeleton")))
    assert bars == sum((a, a + 1) in BONES for a in range(JOINTS)) == 12


def test_sequences_are_those_of_the_package():
    grid = np.arange(6).reshape(2, 3)
    four = {
        "spatial forward": grid.flatten(),
        "temporal forward": grid.T.flatten(),
        "spatial reversed": grid.flatten()[::-1],
        "temporal reversed": grid.T.flatten()[::-1],
    }
    for name, read in four.items():
        assert f"{name} {' '.join(map(str, read))}" in alt("four_sequences")
    # Cells of the two sequences that share a height stand in one row, 20 units of which are a cell's height.
    heights = sorted({y for _, y, text in texts("four_sequences") if text.isdigit()})
    rows = [row("four_sequences", y) for y in heights]
    lists = [[int(text) for text in each] for each in rows if len(each) == 12]
    assert lists == [
        [*four["spatial forward"], *four["temporal forward"]],
        [*four["spatial reversed"], *four["temporal reversed"]],
    ]
    inside = {"spatial backward": grid[:, ::-1].flatten(), "temporal backward": grid[::-1].T.flatten()}
    for name, read in inside.items():
        assert f"{name} {' '.join(map(str, read))}" in alt("two_backwards")


def test_the_way_home_is_one():
    letters = [
        text for _, _, text in sorted(texts("way_home"), key=lambda found: found[:2][::-1]) if len(text) == 1
    ]
    assert "".join(letters) == "abcdef" + "adbecf" + "abcdef"


def test_reaching_tokens_are_counted_right():
    frame, joint = np.divmod(np.arange(25), 5)
    before = (frame < 2) | (frame == 2) & (joint <= 2)
    by_joint = (joint < 2) | (joint == 2) & (frame <= 2)
    counts = dict(re.findall(r"(?:: |, )([a-z ]+) (\d+)(?=,)", alt("who_reaches").split("reach it")[-1]))
    for name, reaches in (
        ("spatial forward", before),
        ("temporal forward", by_joint),
        ("both", before | by_joint),
        ("spatial reversed", before[::-1]),
        ("all four", np.ones(25, bool)),
    ):
        assert int(counts[name]) == reaches.sum() - 1
    filled = drawings.draw("who_reaches").count('fill-opacity="0.55"')
    assert filled == sum(map(int, counts.values())) + len(counts)


def test_the_limb_order_is_the_packages():
    assert [int(text) for text in row("limb_order", 45)] == [*range(JOINTS)]
    assert tuple(int(text) for text in row("limb_order", 95)) == LIMB_ORDER
    apart = [from_a_body.bones_between(joint, added) for joint, added in enumerate(LIMB_ORDER)]
    assert (apart.count(0), apart.count(1), sum(bones > 1 for bones in apart)) == (4, 6, 7)
    assert "4 are the joint itself, 6 a neighbour on the skeleton, 7 further away" in alt("limb_order")


def test_the_released_gradient_lacks_what_the_drawing_leaves_out():
    x, back = torch.zeros(1, JOINTS, 1, requires_grad=True), {}
    for gradient in orders.GRADIENTS:
        sums = orders.arrange(x, "global-local", 1, gradient)[0, 0, :, 0]
        rows = [torch.autograd.grad(one, x, retain_graph=True)[0][0, 0, 0].item() for one in sums]
        back[gradient] = {joint: int(value) for joint, value in enumerate(rows) if value}
    assert back == {"exact": {0: 2, 1: 1, 5: 1}, "released": {0: 1}}
    drawn = drawings.draw("dropped_gradient")
    heads = drawn.count("<polygon"), drawn.count('stroke-dasharray="2 6"')
    assert heads == (3 + 3 + 3 + 3 + 3, 3), "own and mixed arrows twice, then the own ones alone"


def test_the_blocks_sizes_and_scans():
    config = PoseMambaConfig(**VARIANTS["S"])
    told = [text for _, _, text in texts("two_streams")]
    assert {f"x: {config.inner}", f"z: {config.inner}", f"back to {config.channels}"} <= {*told}
    assert all(direction.mark in told for direction in orders.directions(config.scan))


def test_norms_stand_where_the_network_has_them():
    """The code's column, from above, against the calls that a network of two pairs makes."""
    model = PoseMamba(PoseMambaConfig(frames=3, channels=8, depth=4, state=2))
    called, names = [], {"embed": "embedding", "head": "head"}
    names |= {"spatial_norm": "spatial norm", "temporal_norm": "temporal norm"}
    names |= {f"{kind}_blocks.{k}": f"{kind} block" for kind in ("spatial", "temporal") for k in range(2)}
    for name, part in model.named_modules():
        if name in names:
            part.register_forward_hook(lambda *_, told=names[name]: called.append(told))
    model(torch.zeros(1, 3, JOINTS, 2))
    column = sorted((y, text) for x, y, text in texts("equations_9_and_10") if x == 372 and y > 30)
    assert [text for _, text in column] == called
    printed = sorted((y, text) for x, y, text in texts("equations_9_and_10") if x == 104 and y > 30)
    assert [text for _, text in printed if "block" not in text] == [
        "embedding",
        "norm (9)",
        "norm (10)",
        "head",
    ]


def test_seams_are_where_no_bone_is():
    seams = [joint for joint in range(JOINTS - 1) if (joint, joint + 1) not in BONES]
    told = "; ".join(f"{JOINT_NAMES[joint]} and {JOINT_NAMES[joint + 1]}" for joint in seams)
    assert told in alt("seams") and len(seams) == 4


def test_what_one_token_reads():
    counts = [int(count) for count in re.findall(r": (\d+)", alt("one_token_reads"))]
    assert counts == [35, 7, 5, 35]


def test_the_mean_over_cameras_is_a_pole():
    mean = np.mean([a_first_training_run.turned(from_a_body.WAVING, 15 * k) for k in range(24)], 0)
    assert np.abs(mean[:, [0, 2]]).max() < 1e-12
    np.testing.assert_allclose(mean[:, 1], from_a_body.WAVING[:, 1])


def test_the_errors_of_one_answer():
    truth, answer = a_first_training_run.TRUTH, a_first_training_run.ANSWER
    place = np.linalg.norm(answer[0] - truth[0], axis=-1).mean()
    speed = np.linalg.norm(np.diff(answer - truth, axis=0), axis=-1).mean()
    told = [text for _, _, text in texts("three_errors")]
    assert f"{place:.0f} mm" in told and f"{speed:.0f} mm a frame" in told
    # The best fit beats those near it, and what is left is most at the left wrist.
    fitted = a_first_training_run.metrics.align(torch.tensor(answer[:1]), torch.tensor(truth[:1]))[0].numpy()
    off = np.linalg.norm(fitted - truth[0], axis=-1)
    assert f"{off.mean():.0f} mm" in told and off.argmax() == 13 and off.mean() < place / 2
