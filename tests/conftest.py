"""Where the tests find data that the repository does not carry: beside it, or where the environment says."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared"


def _beside(variable: str, folder: str, name: str) -> Path:
    path = Path(os.environ.get(variable) or BESIDE / folder) / name
    if not path.exists():
        pytest.skip(f"{name} is not there; the environment variable {variable} names its folder")
    return path


@pytest.fixture(scope="session")
def shared_data():
    """A function from a name, such as "cmu_mocap_17.npz", to the path of that data; skips where it is not."""
    return lambda name: _beside("POSEMAMBA_DATA", "data", name)


@pytest.fixture(scope="session")
def shared_fixture():
    """A function from a name, such as "released_model_tiny.npz", to its path; skips where it is not."""
    return lambda name: _beside("POSEMAMBA_FIXTURES", "fixtures", name)
