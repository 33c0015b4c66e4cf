"""Writes what `book/keypoints.md` shows of the code: its tables, and the drawing of joint orders.

    python -m tools.keypoints_page

The tables stand between `<!-- NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from pathlib import Path

import numpy as np

from posemamba.motion import load_motion
from posemamba.skeleton import BONES, JOINT_NAMES, JOINT_SETS, LEFT, RIGHT
from posemamba.storage import asset, atomic_path
from tools.pages import fill

PAGE = Path(__file__).parents[1] / "book" / "keypoints.md"
DRAWING = PAGE.parent / "_static" / "joint_orders.svg"
# Where COCO's joints are among Human3.6M's; the eyes and ears (1 to 4) are put beside the nose.
_COCO = (9, 9, 9, 9, 9, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3)
_COLOURS = {"left": "#0072b2", "right": "#d55e00", "trunk": "#767676"}


def recipe(joint_set, weights: dict[str, float]) -> str:
    """What a joint is made of, by the numbers of the set's joints: `0.5 (11, 12)`."""
    groups: dict[str, list[str]] = {}
    for joint in sorted(weights, key=joint_set.joints.index):
        groups.setdefault(f"{weights[joint]:.4g}", []).append(str(joint_set.joints.index(joint)))
    if list(groups) == ["1"]:
        return groups["1"][0]
    terms = sorted(groups.items(), key=lambda group: -float(group[0]))
    text = " + ".join(f"{weight} ({', '.join(joints)})" for weight, joints in terms)
    return text.replace("+ -", "− ")


def tables() -> dict[str, str]:
    """The page's tables by their names."""
    sets = [joint_set for name, joint_set in JOINT_SETS.items() if name != "H36M-17"]
    heads = [f"| | {' | '.join(['Joint', *(s.name for s in sets)])} |", "|---" * (len(sets) + 2) + "|"]
    rows = [
        f"| {number} | {joint} | {' | '.join(recipe(s, s.recipes(joint)[0]) for s in sets)} |"
        for number, joint in enumerate(JOINT_NAMES)
    ]
    orders = [
        f"**{name}**: {', '.join(f'{number} {joint}' for number, joint in enumerate(joint_set.joints))}.\n"
        for name, joint_set in JOINT_SETS.items()
    ]
    return {"conversions": "\n".join(heads + rows), "orders": "\n".join(orders).rstrip()}


def page(text: str) -> str:
    """The page's text with the tables as the code has them."""
    return fill(text, tables())


def orders() -> dict[str, np.ndarray]:
    """One pose of the demonstration clip as it is and in wrong orders: `(17, 2)`, y downwards, metres."""
    joints = np.array(load_motion(asset("demo.safetensors"))[0].joints[40], dtype=float) / 1000
    across = joints[4, :2] - joints[1, :2]
    # A little from the side; the person's left is at the right, as in a picture of somebody who faces us.
    turn = np.arctan2(across[1], across[0]) - 0.6
    x = joints[:, 0] * np.cos(turn) + joints[:, 1] * np.sin(turn)
    pose = np.stack([x - x[0], joints[0, 2] - joints[:, 2]], axis=1)
    coco = pose[list(_COCO)]
    coco[1:5] += [(0.03, -0.03), (-0.03, -0.03), (0.07, -0.02), (-0.07, -0.02)]
    legs = pose[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    read_as_coco = JOINT_SETS["COCO-17"].convert(pose)[0]
    return {
        "in order": pose,
        "COCO's order": coco,
        "legs exchanged": legs,
        "y upwards": pose * (1, -1),
        "read as COCO-17": read_as_coco,
    }


def drawing() -> str:
    """The poses of `orders` with Human3.6M's bones, as SVG."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 300" font-family="sans-serif">']
    for place, (name, pose) in enumerate(orders().items()):
        middle = 90 + 180 * place
        points = pose * 200 + (middle, 135 - 100 * (pose[:, 1].max() + pose[:, 1].min()))
        for parent, child in BONES:
            side = "left" if child in LEFT else "right" if child in RIGHT else "trunk"
            (x1, y1), (x2, y2) = points[parent], points[child]
            line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            parts.append(f'{line} stroke="{_COLOURS[side]}" stroke-width="4" stroke-linecap="round"/>')
        parts.append(f'<text x="{middle}" y="290" text-anchor="middle" fill="#767676">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Writes the page's tables and the drawing."""
    for path, text in ((PAGE, page(PAGE.read_text(encoding="utf-8"))), (DRAWING, drawing())):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
