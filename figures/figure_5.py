"""Redraw the paper's Figure 5: the map of the last temporal block's scan, between joints and between frames.

    python figures/figure_5.py --out drawn

writes figure_5.html, figure_5.svg and figure_5.png: the kept network on a synthetic walk, which the package
ships. The paper shows PoseMamba on a walk of Human3.6M; `--weights` and `--data` take others.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("drawn"), help="the folder (default: drawn)")
    parser.add_argument("--weights", type=Path, help="a folder of save_pretrained; else the kept network")
    parser.add_argument("--data", type=Path, help="a motion file; else the synthetic walk")
    parser.add_argument("--action", default="walking", help="whose first test clip (default: walking)")
    parser.add_argument("--start", type=int, default=60, help="the window's first frame (default: 60)")
    parser.add_argument("--aggregate", default="signed", choices=("signed", "absolute"))
    parser.add_argument("--normalise", default="largest", choices=("none", "largest", "rows"))
    given = parser.parse_args()

    import torch

    from posemamba import PoseMamba, attention, storage
    from posemamba.camera import Camera
    from posemamba.motion import open_motion, see, synthetic_clips
    from posemamba.plotting import map_panels, save, use_book_style

    use_book_style()
    model = PoseMamba.from_pretrained(given.weights or storage.asset("small_cmu")).eval()
    if given.data:
        clips = open_motion(str(given.data))
    else:
        clips = synthetic_clips(seed=0, train=0, test=1, seconds=4, actions=[given.action])
    clips = [clip for clip in clips if clip.action == given.action and clip.split == "test"]
    if not clips:
        parser.error(f"{given.data} has no test clip of {given.action!r}")
    body = torch.as_tensor(clips[0].joints)
    middle = body[:, 0].mean(0)
    camera = Camera.look_at(middle + torch.tensor([3500.0, -3500.0, 600.0]), middle, focal=1145)
    keypoints = see(body, camera)[0][given.start : given.start + model.config.frames]
    if len(keypoints) < 2:
        parser.error(f"--start is {given.start}, the clip has {len(body)} frames")

    last = f"temporal_blocks.{model.config.depth // 2 - 1}"
    with torch.no_grad(), model.capture(last) as records:
        model(keypoints[None])
    maps = {"between joints": attention.joint_map, "between frames": attention.frame_map}
    figure = map_panels(
        {
            name: attention.normalise(function(records[last], aggregate=given.aggregate), given.normalise)
            for name, function in maps.items()
        },
        ("joints", "frames"),
        value=f"weight, {given.aggregate} sum, normalised: {given.normalise}",
        title=f"Figure 5: the last block's map, {given.action}",
        signed=given.aggregate == "signed",
    )
    for path in save(figure, given.out / "figure_5"):
        print(path)


if __name__ == "__main__":
    main()
