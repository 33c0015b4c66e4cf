"""PoseMamba: 3D human pose lifting with a selective state space model, and the book that explains it."""

from importlib import import_module

__version__ = "1.0.0"

# Names that load their module on first use: importing the package stays quick.
_LAZY = dict(
    PoseMamba="model", PoseMambaConfig="config", VARIANTS="config", selective_scan="scan", lift="inference"
)
__all__ = ["VARIANTS", "PoseMamba", "PoseMambaConfig", "__version__", "lift", "selective_scan"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(f"posemamba.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'posemamba' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
