"""What training says of a step that failed."""

from collections.abc import Callable

import torch
from torch import Tensor

from posemamba.model import PoseMamba


def fault(model: PoseMamba, again: Callable[[], None]) -> str | None:
    """Where a step whose gradient is not finite went wrong, in words: the first block whose output is not
    finite, with its largest step and strongest decay; or, going back from the loss, the first part whose
    gradients are not. None where all are finite.

    Args:
        model: with the weights of that step.
        again: runs the step once more, forward and backward; the blocks are recorded meanwhile.
    """
    model.zero_grad()
    try:
        with model.capture() as records:
            again()
    except torch.OutOfMemoryError:
        return "which block it is could not be told, a record of all does not fit into memory"

    def bad(*tensors: Tensor | None) -> bool:
        return any(not torch.isfinite(tensor).all() for tensor in tensors if tensor is not None)

    def words(name: str) -> str:
        if name not in records:
            return name
        steps, A = records[name].steps, records[name].A
        return f"{name}, whose steps reach {float(steps.max()):.2g} and A {float(A.min()):.2g}"

    for name, record in records.items():
        if bad(record.tokens):
            return f"what enters {name} is not finite"
        if bad(record.out):
            return f"the first output that is not finite is that of {words(name)}"
    for name in ("head", *reversed(records)):
        if bad(*(weight.grad for weight in model.get_submodule(name).parameters())):
            return f"on the way back it breaks in {words(name)}"
    return None
