"""`posemamba export`."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from posemamba.cli.evaluate import _folder
from posemamba.cli.terminal import out


def export(
    model: Annotated[str, Argument(help="A network's or a run's folder, or the authors' checkpoint file.")],
    path: Annotated[Path, Argument(metavar="OUT.onnx", help="The file to write.")],
    half: Annotated[bool, Option("--half", help="Store the weights in float16: half the file.")] = False,
    scan: Annotated[str | None, Option(help="Of a checkpoint file: its strategy, else global-local.")] = None,
) -> None:
    """Write a network as an ONNX file, which onnxruntime runs without torch."""
    from posemamba.export.onnx import write_onnx
    from posemamba.model import PoseMamba

    if path.suffix != ".onnx":
        raise ValueError(f"{path}: expected a file named .onnx to write")
    if Path(model).is_file():
        network = PoseMamba.from_released(model, **({} if scan is None else {"scan": scan}))
    elif scan is not None:
        raise ValueError(f"--scan belongs to a checkpoint file, and {model} is none")
    else:
        network = PoseMamba.from_pretrained(_folder(model, "last"))
    write_onnx(network, path, half=half)
    config, size = network.config, path.stat().st_size / 1e6
    units = "in the network's own units" if config.millimetres_per_unit is None else "in mm"
    shape = f"(batch, up to {config.frames} frames, {config.joints}, 2)"
    out.print(f"Written to {path}, {size:.2f} MB: keypoints {shape} to joints {units}.", soft_wrap=True)
