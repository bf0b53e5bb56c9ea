"""What the tests share: the real archive, and one thread each, as two of them run at once."""

import os
from pathlib import Path

import pytest

# Set before TensorFlow is imported, here and in the kernels that nbval starts.
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("drill") and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason="takes long: set CI=true to run it, too"))


@pytest.fixture(scope="session")
def archive() -> Path:
    """RRUFF's excellent_oriented archive of 2019, from the environment variable FMCNN_ARCHIVE."""
    given = os.environ.get("FMCNN_ARCHIVE")
    if not given:
        pytest.skip("needs the RRUFF archive: set FMCNN_ARCHIVE to the path of the zip file")
    path = Path(given).resolve()
    if not path.exists():
        pytest.fail(f"FMCNN_ARCHIVE names {given}, and there is no such file")
    return path


@pytest.fixture(scope="session")
def real(archive):
    """All spectra of the real archive."""
    from fmcnn_utils import data

    return data.load(archive)
