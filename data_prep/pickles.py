"""The old path of `posemamba.storage.pickles`, which package modules can use too."""

from posemamba.storage.pickles import CONTAINERS, check_plain, read_pickle, read_plain

__all__ = ["CONTAINERS", "check_plain", "read_pickle", "read_plain"]
