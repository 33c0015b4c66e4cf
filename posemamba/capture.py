"""What a network's blocks computed on the way: a named record of each, taken while it runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor, nn

from posemamba.config import Part, block_parts


@dataclass(frozen=True)
class BlockRecord:
    """One block's forward pass. Tokens stand in row-major order, whatever order a direction reads them in.

    Attributes:
        tokens: what entered the block.
        before: the SSM's channels after the convolution, before their SiLU.
        x: the scan's input, silu(before), before anything is mixed into it.
        steps: the step that each direction chose for each inner channel at each token (after the softplus).
        B, C: what each direction chose to write and to read.
        A, skip: the decay rates and the direct path; weights, and not chosen.
        reads, mixes: each direction's order and what it mixes in, see `posemamba.orders.tables`.
        y: the scan's output, the directions summed.
        gate: silu(z), by which the normalised y is multiplied.
        middle: the tokens between the SSM and the MLP.
        hidden: the MLP's inner channels before their GELU.
        out: what left the block.
    """

    tokens: Float[Tensor, "batch frames joints channels"]
    before: Float[Tensor, "batch frames joints inner"]
    x: Float[Tensor, "batch tokens inner"]
    steps: Float[Tensor, "batch directions tokens inner"]
    B: Float[Tensor, "batch directions tokens state"]
    C: Float[Tensor, "batch directions tokens state"]
    A: Float[Tensor, "directions inner state"]
    skip: Float[Tensor, "directions inner"]
    reads: Int[Tensor, "directions tokens"]
    mixes: Int[Tensor, "directions tokens"]
    y: Float[Tensor, "batch frames joints inner"]
    gate: Float[Tensor, "batch frames joints inner"]
    middle: Float[Tensor, "batch frames joints channels"]
    hidden: Float[Tensor, "batch frames joints hidden"]
    out: Float[Tensor, "batch frames joints channels"]


@contextmanager
def recording(blocks: dict[str, nn.Module]) -> Iterator[dict[str, BlockRecord]]:
    """Record some blocks; see `posemamba.model.PoseMamba.capture`.

    The scan notes what it chose itself; what passes the block's other parts is taken from their modules.
    """
    records: dict[str, BlockRecord] = {}
    with ExitStack() as stack:
        for name, block in blocks.items():
            if block.ssm.notes is not None:
                raise ValueError(f"{name} is being captured already")
            block.ssm.notes = {}
            stack.callback(setattr, block.ssm, "notes", None)
            for part in block_parts(block.ssm.config):
                if part.record:
                    keep = partial(_keep, block.ssm.notes, part)
                    stack.callback(block.get_submodule(part.passes).register_forward_hook(keep).remove)
            finish = partial(_finish, records, name)
            stack.callback(block.register_forward_hook(finish).remove)
        yield records


def _keep(notes: dict[str, Tensor], part: Part, _, inputs: tuple[Tensor, ...], out: Tensor) -> None:
    notes[part.record] = (out if part.kind == "gate" else inputs[0]).detach()


def _finish(records: dict[str, BlockRecord], name: str, block: nn.Module, _, out: Tensor) -> None:
    records[name] = BlockRecord(**block.ssm.notes, out=out.detach())
    block.ssm.notes.clear()
