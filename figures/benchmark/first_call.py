"""What the first use costs in a fresh process: with an empty cache, when kernels are compiled, and again.

    python figures/benchmark/first_call.py

"import" holds torch's own, which is also given alone; "scan" is the first forward and backward pass of a
small scan, "network" those of a small network, which uses the package's other kernels. "processor" is the
processor time of the whole, which a busy machine changes less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time


def first_call() -> dict[str, float]:
    """Seconds of each part. Nothing heavy is imported before the clock runs."""
    begin, processor = time.perf_counter(), time.process_time()
    import torch

    torch_there = time.perf_counter()
    from posemamba.scan import selective_scan

    there = time.perf_counter()
    u, delta = torch.rand(2, 1, 128, 51).requires_grad_()
    B, C = torch.rand(2, 1, 4, 16, 51).requires_grad_()
    selective_scan(u, delta, -torch.ones(128, 16), B, C).sum().backward()
    scanned = time.perf_counter()

    from posemamba.model import PoseMamba, PoseMambaConfig

    network = PoseMamba(PoseMambaConfig(frames=9, depth=2, channels=32))
    for keypoints in (torch.zeros(1, 9, 17, 2), torch.zeros(2, 5, 17, 2)):
        with torch.no_grad():
            network(keypoints)
        network(keypoints).sum().backward()
    end = time.perf_counter()
    return {
        "import torch": torch_there - begin,
        "import": there - begin,
        "scan": scanned - there,
        "network": end - scanned,
        "whole": end - begin,
        "processor": time.process_time() - processor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="here, with the cache as it is, as JSON")
    parser.add_argument("--quick", action="store_true", help="only with the cache as it is")
    given = parser.parse_args()
    if given.once:
        print(json.dumps(first_call()))
        return
    with tempfile.TemporaryDirectory() as folder:
        caches = dict.fromkeys(("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"), folder)
        runs = {"empty cache": caches, "full cache": caches}
        for name, environment in ({"as it is": {}} if given.quick else runs).items():
            command = [sys.executable, __file__, "--once"]
            done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True)
            parts = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}: {', '.join(f'{part} {value:.2f} s' for part, value in parts.items())}")


if __name__ == "__main__":
    main()
