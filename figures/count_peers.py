"""Count the networks that the paper compares with, by torch's FLOP counter.

    python figures/count_peers.py --peer ../MotionAGFormer --peer ../MotionBERT

builds each network of the checkouts from its own settings, runs it once on one sequence, and writes all
parameters and all multiply-adds of matrix products and convolutions to
posemamba/assets/measured/peer_counts.json. Products with a matrix that is diagonal are counted too, and told
apart: written as a scaling of rows they would cost next to nothing.
"""

import argparse
from pathlib import Path

import torch
from benchmark.peers import Peer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from posemamba import record
from posemamba.accounting import count
from posemamba.model import VARIANTS, PoseMamba

OUT = Path(__file__).resolve().parents[1] / "posemamba" / "assets" / "measured"


class Diagonal(TorchDispatchMode):
    """Multiply-adds of batched products in which one factor holds diagonal matrices.

    Attributes:
        macs: what such products cost as they are run.
        products: how many there were.
    """

    def __init__(self):
        super().__init__()
        self.macs = self.products = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function is torch.ops.aten.bmm.default and any(map(diagonal, arguments[:2])):
            left, right = arguments[:2]
            self.macs += left.numel() * right.shape[-1]
            self.products += 1
        return function(*arguments, **(options or {}))


def diagonal(matrices: torch.Tensor) -> bool:
    """Whether all of (batch, n, n) are diagonal, n > 1."""
    rows, columns = matrices.shape[-2:]
    if rows != columns or rows == 1:
        return False
    kept = matrices.diagonal(dim1=-2, dim2=-1)
    return int(matrices.count_nonzero()) == int(kept.count_nonzero()) > 0


def counted(name: str, kind: str, network: torch.nn.Module, frames: int, seed: int) -> dict:
    """Parameters and multiply-adds of one forward pass."""
    torch.manual_seed(seed)
    keypoints = torch.randn(1, frames, 17, 3 if kind == "peer" else 2)
    apart = Diagonal()
    with torch.no_grad(), FlopCounterMode(display=False) as counter, apart:
        network(keypoints)
    operators = counter.get_flop_counts()["Global"]
    by_operator = {str(name).removeprefix("aten."): flops // 2 for name, flops in operators.items()}
    return {
        "name": name,
        "kind": kind,
        "frames": frames,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "macs": counter.get_total_flops() // 2,
        "macs_by_operator": by_operator,
        "diagonal_macs": apart.macs,
        "diagonal_products": apart.products,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", default=[], help="a checkout; may be given more than once")
    parser.add_argument("--frames", type=int, default=243)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=str(OUT / "peer_counts.json"))
    given = parser.parse_args()

    checkouts = [Peer(path) for path in given.peer]
    command = ["python", "figures/count_peers.py"]
    command += [part for checkout in checkouts for part in ("--peer", checkout.name)]
    command += ["--frames", given.frames, "--seed", given.seed]
    what = "parameters and multiply-adds of one sequence, by torch's FLOP counter"
    report = record.head(what, command, [given.seed]) | {"peers": [peer.described() for peer in checkouts]}
    rows = []
    for variant in VARIANTS:
        module = PoseMamba.from_variant(variant, frames=given.frames).eval()
        row = counted(f"PoseMamba-{variant}", "posemamba", module, given.frames, given.seed)
        if row["macs"] != count(module).macs:  # our rule and torch's counter are held together
            raise SystemExit(f"{row['name']}: torch counts {row['macs']}, our rule another number")
        rows.append(row)
    for checkout in checkouts:
        for name in checkout.networks:
            torch.manual_seed(given.seed)
            network = checkout.build(name, given.frames)
            rows.append(counted(name, "peer", network, given.frames, given.seed))
    record.write(given.out, report | {"rows": rows})
    for row in rows:
        print(
            f"{row['name']:<17} {row['parameters']:>11,} parameters, {row['macs'] / 1e9:7.2f} G MACs, "
            f"of them {row['diagonal_macs'] / 1e9:.2f} G with diagonal matrices"
        )


if __name__ == "__main__":
    main()
