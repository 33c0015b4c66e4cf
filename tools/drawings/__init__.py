"""The book's drawings: what words would labour to say, as SVG. A module a chapter, and `pen` for all.

    python -m tools.drawings            writes posemamba/assets/drawings/*.svg
    python -m tools.drawings --check    changes nothing, fails where something would change

A drawing is a function that returns its title, its alternative text, its height and its parts.
"""

import argparse
from html import escape
from pathlib import Path

from posemamba.plotting.style import INK
from posemamba.storage import atomic_path
from tools.drawings.a_first_training_run import pole, three_errors, training_step
from tools.drawings.a_kernel import chains, rungs, sums
from tools.drawings.differential_equation import bucket, hold, leaks, memory_on_the_grid, three_memories
from tools.drawings.does_the_order_matter import mixes, pairs, six_strategies
from tools.drawings.from_a_body import (
    dropped_gradient,
    four_sequences,
    limb_order,
    numbered_skeleton,
    two_backwards,
    way_home,
    who_reaches,
)
from tools.drawings.in_the_wild import landmarks, person_view, rays
from tools.drawings.measuring import choosing, protocol
from tools.drawings.pen import WIDTH
from tools.drawings.selection import chosen, clock, whose
from tools.drawings.the_block import equation_8, equations_9_and_10, one_token_reads, seams, two_streams
from tools.drawings.the_data import quarter_cells, two_and_a_half, windows
from tools.drawings.the_full_training_run import kill, processes
from tools.drawings.the_lifting_problem import flip, pinhole
from tools.drawings.the_map import the_map
from tools.drawings.the_scan import backwards, kept_states, three_ways, two_maps, what_waits
from tools.drawings.what_a_table_counts import (
    frames_out,
    multiply_add,
    partners,
    state_operations,
    where_the_work_is,
)
from tools.drawings.what_the_scan_attends_to import (
    down_to_a_picture,
    held,
    mixed_pattern,
    one_entry,
    zero_patterns,
)
from tools.drawings.what_to_optimise import joint_weights, loss_terms

FOLDER = Path(__file__).resolve().parents[2] / "posemamba/assets/drawings"
_KNOWN = (
    the_map,
    *(bucket, three_memories, hold, leaks, memory_on_the_grid),
    *(three_ways, two_maps, what_waits, backwards, kept_states),
    chosen,
    clock,
    whose,
    rungs,
    chains,
    sums,
    pinhole,
    flip,
    windows,
    two_and_a_half,
    quarter_cells,
    loss_terms,
    joint_weights,
    kill,
    processes,
    protocol,
    choosing,
    rays,
    landmarks,
    person_view,
    multiply_add,
    state_operations,
    where_the_work_is,
    frames_out,
    partners,
    one_entry,
    zero_patterns,
    mixed_pattern,
    down_to_a_picture,
    held,
    six_strategies,
    mixes,
    pairs,
    numbered_skeleton,
    four_sequences,
    way_home,
    who_reaches,
    two_backwards,
    limb_order,
    dropped_gradient,
    two_streams,
    seams,
    one_token_reads,
    equation_8,
    equations_9_and_10,
    training_step,
    pole,
    three_errors,
)
DRAWINGS = {function.__name__: function for function in _KNOWN}


def draw(name: str) -> str:
    """The SVG source of a drawing."""
    title, alt, height, parts = DRAWINGS[name]()
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'color="{INK}" font-family="sans-serif" stroke-linecap="round" role="img">'
    )
    told = [f"<title>{escape(title)}</title>", f"<desc>{escape(alt)}</desc>"]
    return "\n".join([head, *told, *parts, "</svg>"]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.drawings", description="The book's drawings.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail where something would")
    check = parser.parse_args(arguments).check
    different = 0
    for name in DRAWINGS:
        path, new = FOLDER / f"{name}.svg", draw(name)
        if path.exists() and path.read_text(encoding="utf-8") == new:
            continue
        different += 1
        print(f"{path.name}: {'not what this script draws' if check else 'written'}")
        if not check:
            FOLDER.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                Path(temporary).write_bytes(new.encode("utf-8"))
    return int(check and different > 0)
