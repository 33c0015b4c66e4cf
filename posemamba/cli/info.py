"""`posemamba info`."""

from typing import Annotated

from typer import Argument, Option

from posemamba.cli.terminal import out


def info(
    variant: Annotated[str, Argument(help="S, B, L or X.")] = "S",
    frames: Annotated[int, Option(min=1, max=1_000_000, help="Frames in the sequence.")] = 243,
) -> None:
    """Print a variant's row of Table 2: parameters and MACs as the paper counts them, and all of them."""
    from rich.table import Table

    from posemamba.accounting import count
    from posemamba.config import VARIANTS, PoseMambaConfig

    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}, expected one of {', '.join(VARIANTS)}")
    config = PoseMambaConfig(frames=frames, **VARIANTS[variant])
    counted = count(config)
    table = Table(title=f"PoseMamba-{variant}: depth {config.depth}, d_m {config.channels}, {frames} frames")
    for heading in ("", "as the paper counts", "everything"):
        table.add_column(heading, justify="right" if heading else "left")
    paper, ours = counted.paper_macs, counted.macs
    table.add_row("parameters", f"{counted.paper_parameters:,}", f"{counted.parameters:,}")
    table.add_row("MACs", f"{paper:,}", f"{ours:,}")
    table.add_row("MACs a frame", f"{paper / frames / 1e6:.1f} M", f"{ours / frames / 1e6:.1f} M")
    table.add_row("  of these the scan", "0", f"{counted.scan_macs:,}")
    out.print(table)
    out.print(
        "The paper's figures are a profiler's that sees linear, convolution and norm modules only; "
        "everything counts all parameters and all products, the scan at 4.5 MACs a state, without norms."
    )
