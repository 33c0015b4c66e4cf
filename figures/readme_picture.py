"""Draw the README's picture: the flat joints, the truth and the lifted body of the demonstration clip.

    python figures/readme_picture.py

writes book/_static/lifted.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from posemamba import PoseMamba, lift, storage
from posemamba.motion import CameraRig, load_motion, see
from posemamba.plotting import COLOURS
from posemamba.skeleton import BONES, LEFT

OUT = Path(__file__).resolve().parents[1] / "book" / "_static" / "lifted.png"
FRAMES = (18, 36, 68, 88)


def draw(axis, points, colours) -> None:
    """Bones between (17, 2) or (17, 3) points; the body's left side in the second colour."""
    for parent, child in BONES:
        ends = points[[parent, child]].T.tolist()
        axis.plot(*ends, color=colours[child in LEFT], linewidth=2.2, solid_capstyle="round")


def main() -> None:
    world = torch.from_numpy(load_motion(storage.asset("demo.safetensors"))[0].joints)
    camera = CameraRig().sample(torch.Generator().manual_seed(3), world[:, 0].mean(0))
    keypoints, truth = see(world, camera)
    lifted = lift(PoseMamba.from_pretrained(storage.asset("small_cmu")), keypoints)
    figure = plt.figure(figsize=(10, 5.4), dpi=110)
    grey, blue = ("#666666", "#999999"), (COLOURS[1], COLOURS[0])
    for column, frame in enumerate(FRAMES):
        flat = figure.add_subplot(2, 4, column + 1)
        draw(flat, keypoints[frame], blue)
        flat.set(xlim=(-0.66, 0.66), ylim=(0.6, -0.72), aspect="equal", xticks=[], yticks=[])
        body = figure.add_subplot(2, 4, column + 5, projection="3d")
        for pose, colours in ((truth[frame], grey), (lifted[frame], blue)):
            draw(body, pose[:, [0, 2, 1]] * torch.tensor([1, 1, -1]), colours)
        body.set(xlim=(-700, 700), ylim=(-700, 700), zlim=(-900, 700))
        body.set(xticklabels=[], yticklabels=[], zticklabels=[])
        body.set_box_aspect((1, 1, 1.15), zoom=1.35)
        body.view_init(12, -40)
    figure.text(0.01, 0.73, "seen", rotation=90)
    figure.text(0.01, 0.2, "lifted, and the truth in grey", rotation=90)
    figure.subplots_adjust(0.03, 0.0, 1, 1, 0.0, 0.0)
    figure.savefig(OUT, facecolor="white")
    print(f"Written to {OUT.name}.")


if __name__ == "__main__":
    main()
