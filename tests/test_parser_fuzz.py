"""Whatever happened to a file: a spectrum, or a named error with a reason."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rruff_files import name, text, zipped

from fmcnn_utils import rruff
from fmcnn_utils.spectra import resample

FILES = [
    text().encode(),
    text(end="\n", blank="\r\nFiducial mark, 30 degrees off\n").encode("cp1252"),
    text().replace(", ", "\t").encode(),
    text(np.linspace(1500, 100, 60)).encode(),
    text(np.round(np.linspace(100, 130, 60))).encode(),  # repeats its shifts
]
BITS = [
    b"nan",
    b"-inf",
    b"1e999",
    b"1e-320",
    b"##",
    b"\n##END=",
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\xe9",
]
BITS += [
    b"-",
    b".",
    b"1_0",
    "٣".encode(),
    b"0x1p3",
    b"1, 2, 3\n",
    b"##NAMES=\n",
    b"\xef\xbb\xbf",
    b"=",
]


@st.composite
def damaged(draw) -> bytes:
    content = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 6))):
        a, b = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        content = draw(
            st.sampled_from(
                [
                    content[:a] + content[b:],  # lost
                    content[:b] + content[a:],  # twice
                    content[:a],  # cut short
                    content[:a] + content[a:b][::-1] + content[b:],
                    content[:a] + draw(st.binary(max_size=8)) + content[a:],
                    content[:a] + draw(st.sampled_from(BITS)) + content[a:],
                    content[:a]
                    + content[a:b].replace(b",", draw(st.sampled_from(BITS)))
                    + content[b:],
                    content[:a] + content[a:b].replace(b"\n", b"") + content[b:],
                ]
            )
        )
    return content


def spectrum_or_reason(content) -> bool:
    try:
        scan = rruff.parse(content)
    except rruff.UnreadableSpectrum as error:
        assert str(error)
        return False
    assert scan.shift.shape == scan.intensity.shape
    assert len(scan.shift) >= 2
    assert np.isfinite(scan.shift).all() and np.isfinite(scan.intensity).all()
    assert (np.diff(scan.shift) > 0).all()
    assert np.isfinite(resample(scan.shift, scan.intensity)).all()
    return True


def test_the_undamaged_files_are_spectra():
    assert all(map(spectrum_or_reason, FILES))


@settings(max_examples=4000, deadline=None, derandomize=True, database=None)
@given(damaged())
def test_damaged_files(content):
    spectrum_or_reason(content)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_bytes_and_text(content):
    spectrum_or_reason(content)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("zip") / "a.zip"


@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_damaged_archives(path, data):
    """A damaged zip is refused as a whole, or its damaged files are reported by name."""
    zipped(path, {name(): text(), name(angle="45"): text(), name(kind="RAW"): text()})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Mostly the directory at the end, where the structure is.
        at = data.draw(st.integers(len(content) - 500, len(content) - 1) | st.integers(0, 99))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        archive = rruff.read(path, cache=False)
    except rruff.ArchiveError as error:
        assert str(path) in str(error)
    else:
        assert len(archive.spectra) + len(archive.unreadable) + archive.raw <= 3
