"""What the tests read: small files that lie beside them."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the tests' files: the released network's outputs on random weights, and a checkpoint."""
    return Path(__file__).parent / "fixtures"
