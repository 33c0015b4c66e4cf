"""What the tests read: small files that lie beside them."""

from pathlib import Path

import pytest

# torch's compiler wants setuptools, which can no longer be imported once a process has looked for pip; and in
# some seven hundred tests something does. So it is imported first.
import setuptools  # noqa: F401


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the tests' files: the released network's outputs on random weights, and a checkpoint."""
    return Path(__file__).parent / "fixtures"
