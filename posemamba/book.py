"""What the book's chapters share: set-up, scale, checks of exercises, timings, measured runs."""

import copy
import inspect
import logging
import math
import os
import random
import timeit
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scale:
    """How large a chapter's runs are.

    Attributes:
        name: "small" (a laptop's CPU) or "gpu".
        tiny: stand-in sizes at gpu scale, with which the tests exercise the cells of that scale.
        device: where the chapter's tensors live, "cpu" or "cuda".
    """

    name: str
    tiny: bool = False
    device: str = "cpu"

    @property
    def gpu(self) -> bool:
        return self.name == "gpu"

    def pick(self, *, small: Any, gpu: Any, tiny: Any = None) -> Any:
        """The value for this scale; ``small`` stands in where ``tiny`` is asked for and not given."""
        if self.gpu and not self.tiny:
            return gpu
        return tiny if self.gpu and tiny is not None else small

    def __str__(self) -> str:
        return self.name


def setup(scale: str = "small") -> Scale:
    """What every chapter does first: style, seeds, threads; no progress bars, no warnings of other packages.

    Args:
        scale: "small" or "gpu", ValueError for another; the environment variable SCALE overrides it. At gpu
            scale POSEMAMBA_TINY=1 asks for tiny sizes.
    """
    name = os.environ.get("SCALE") or scale
    if name not in ("small", "gpu"):
        source = "the environment variable SCALE" if os.environ.get("SCALE") else "scale"
        raise ValueError(f"{source} is {name!r}, expected 'small' or 'gpu'.")
    # Progress bars in a stored output differ from run to run.
    for switch in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(switch, "1")
    # Threads that wait for each other sleep. By default torch's spin, and hold up those for whom they wait
    # where others want the cores too; libgomp reads this when torch is imported, so it comes before that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning):
        warnings.simplefilter("ignore", category)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it says when it builds its list of fonts

    import torch

    from posemamba.plotting import use_book_style

    use_book_style()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), 8))  # the chapters' tensors feed no more
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    tiny = name == "gpu" and os.environ.get("POSEMAMBA_TINY", "0") not in ("", "0")
    return Scale(name, tiny, "cuda" if name == "gpu" and torch.cuda.is_available() else "cpu")


def measured(name: str) -> dict:
    """A measured run that ships with the package, assets/measured/NAME.json; FileNotFoundError without it."""
    from posemamba import record, storage

    return record.read(storage.asset(f"measured/{name}.json"))


def timed(function: Callable, *arguments, repeats: int = 5) -> float:
    """Seconds that a call takes: the best of some ``repeats``, after one call that is not counted."""
    function(*arguments)
    return min(timeit.repeat(lambda: function(*arguments), number=1, repeat=repeats))


def check(
    name: str,
    function: Callable,
    reference: Callable,
    inputs: Callable[[np.random.Generator], tuple],
    trials: int = 20,
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Compares a reader's function with a reference on random inputs, and prints one line.

    The line is ``NAME: correct``, or ``NAME: not solved yet`` (the function returns None or raises
    NotImplementedError), or it says for which input what was found and what was expected.

    Args:
        name: what the line calls the exercise.
        function, reference: the reader's, and the same by other means.
        inputs: takes a numpy Generator, returns the tuple of arguments.
        trials: the number of random inputs.
        rtol, atol: allowed difference, relative to the reference's values and absolute.
    """
    for trial in range(trials):
        arguments = inputs(np.random.default_rng([0, trial]))
        expected, found, fault = reference(*copy.deepcopy(arguments)), None, ""
        try:
            found = function(*copy.deepcopy(arguments))
        except NotImplementedError:
            pass
        except Exception as error:  # a reader's mistake of any kind is told: the notebook goes on
            first = (str(error).strip().splitlines() or ["no message"])[0]
            fault = f"it raises {type(error).__name__}: {first}"
        if found is None and not fault and trial == 0:
            return print(f"{name}: not solved yet")
        if fault := fault or _difference(found, expected, rtol, atol):
            return print(f"{name}: not yet. For {_written(function, arguments)} {fault}.")
    print(f"{name}: correct")


def check_value(name: str, value: float | None, truth: float, rtol: float = 0.05, atol: float = 0.0) -> None:
    """Compares a number that a reader predicted or measured with the true one; prints one line as check does.

    A `value` of None is "not solved yet". The line does not give the truth away.
    """
    if value is None:
        print(f"{name}: not solved yet")
    elif math.isclose(value, truth, rel_tol=rtol, abs_tol=atol):
        print(f"{name}: correct")
    else:
        print(f"{name}: not yet. {value:g} is too {'small' if value < truth else 'large'}.")


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _difference(found: Any, expected: Any, rtol: float, atol: float) -> str:
    """How two results differ, in words; empty where they agree."""
    if isinstance(expected, tuple):
        if not isinstance(found, tuple) or len(found) != len(expected):
            size = f"{len(found)} values" if isinstance(found, tuple) else f"one {type(found).__name__}"
            return f"it returns {size}, expected {len(expected)} values"
        parts = enumerate(zip(found, expected, strict=True))
        faults = [(k, _difference(mine, theirs, rtol, atol)) for k, (mine, theirs) in parts]
        size = len(expected)
        return next((f"returned value {k + 1} of {size}: {fault}" for k, fault in faults if fault), "")
    if found is None:
        return "it returns None"
    expected = _numbers(expected)
    try:
        found = _numbers(found).astype(np.result_type(expected, np.float64))
    except (TypeError, ValueError):
        return f"it returns a {type(found).__name__}, expected numbers"
    if found.shape != expected.shape:
        return f"it returns shape {found.shape}, expected {expected.shape}"
    wrong = ~np.isclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = f"at index {list(place)} it" if place else "it"
    return f"{where} returns {found[place]:.6g}, expected {expected[place]:.6g}"


def _written(function: Callable, arguments: tuple) -> str:
    """The arguments by name: small values in full, large ones by their shape."""
    named, words = list(inspect.signature(function).parameters), []
    for k, value in enumerate(arguments):
        name = named[k] if k < len(named) else f"argument {k + 1}"
        if hasattr(value, "shape") and math.prod(value.shape) > 8:
            words.append(f"{name} of shape {tuple(value.shape)}")
        elif hasattr(value, "tolist"):
            words.append(f"{name} = {_brief(_numbers(value).tolist())}")
        else:
            text = repr(value)  # a network's has as many lines as it has parts
            short = len(text) <= 80 and "\n" not in text
            words.append(f"{name} = {text}" if short else f"{name} = {type(value).__name__}(...)")
    return ", ".join(words) or "no arguments"


def _brief(value: Any) -> str:
    """Four significant digits, so that neither 1e-12 nor 1e12 is lost."""
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
