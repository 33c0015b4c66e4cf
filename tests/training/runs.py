"""What the tests of training share: a tiny run, here and in processes of its own that can be killed."""

import csv
import subprocess
import sys
from dataclasses import asdict, replace

import psutil
import torch
import yaml

from posemamba.motion import save_motion, synthetic_clips
from posemamba.training import TrainingConfig

TINY = dict(frames=5, depth=2, channels=8, state=2, batch_size=2, warmup=2, learning_rate=1e-3, drop_path=0.2)

PROGRAM = """
import sys, time
from posemamba.motion import load_motion
from posemamba.training import TrainingConfig, train
if __name__ == "__main__":
    config, clips = TrainingConfig.load(sys.argv[1]), load_motion(sys.argv[2])
    try:
        train(config, clips, sys.argv[3], devices=int(sys.argv[4]), save_every=float(sys.argv[5]),
              log=lambda step, figures: time.sleep(float(sys.argv[6])), device="cpu")
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(str(error))
"""


def people(**more):
    """A few short clips of three training subjects and a test subject."""
    made = synthetic_clips(seed=0, train=3, test=1, seconds=4.0, **more)
    return [
        replace(clip, subject=f"S{1 + i % 3}" if clip.split == "train" else "S9")
        for i, clip in enumerate(made)
    ]


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def prepared(folder, clips, config: TrainingConfig):
    """The files of a run that `elsewhere` makes."""
    save_motion(folder / "motion.safetensors", clips)
    (folder / "asked.yaml").write_text(yaml.safe_dump(asdict(config)), encoding="utf-8")
    return folder / "asked.yaml", folder / "motion.safetensors"


def elsewhere(config, motion, folder, devices=1, save_every=0.0, pause=0.02, **more) -> subprocess.Popen:
    """A process that trains, slowed down so that it can be met at work."""
    arguments = map(str, (config, motion, folder, devices, save_every, pause))
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], text=True, **more)


def ranks_of(process) -> list[psutil.Process]:
    """The further processes that a training has begun."""
    return psutil.Process(process.pid).children()


def curve(folder) -> list[dict[str, str]]:
    """The rows of curve.csv, without what the clock decides."""
    with (folder / "curve.csv").open(encoding="utf-8") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]
