"""What the first use costs. Nothing heavy is imported here before the clock runs."""

import time


def first_call(shape: dict, device: str) -> dict[str, float]:
    """Seconds from `import posemamba.scan` to the end of the first forward and backward pass of the scan, and
    on to those of a small network, which uses the package's other kernels.

    "import" contains torch's own, which is also given alone. "whole_cpu" is the processor time of the whole,
    which a busy machine changes less.
    """
    begin, cpu = time.perf_counter(), time.process_time()
    import torch

    torch_there = time.perf_counter()
    from posemamba.scan import selective_scan

    there = time.perf_counter()
    from posemamba.benchmark.cases import Shape  # torch and the scan are imported already

    values, cotangent = Shape(**shape).inputs(device, 0)
    leaves = [value.requires_grad_() for value in values]
    ready = time.perf_counter()
    torch.autograd.grad(selective_scan(*leaves), leaves, cotangent)
    if device == "cuda":
        torch.cuda.synchronize()
    scanned = time.perf_counter()

    from posemamba.model import PoseMamba, PoseMambaConfig

    network = PoseMamba(PoseMambaConfig(frames=9, depth=2, channels=32)).to(device)
    for keypoints in (torch.zeros(1, 9, 17, 2), torch.zeros(2, 5, 17, 2)):
        with torch.no_grad():
            network(keypoints.to(device))
        network(keypoints.to(device)).sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    end = time.perf_counter()
    return {
        "import_torch": torch_there - begin,
        "import": there - begin,
        "scan": scanned - ready,
        "network": end - scanned,
        "whole": end - begin,
        "whole_cpu": time.process_time() - cpu,
    }
