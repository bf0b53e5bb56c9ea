"""Whatever happened to a file: a spectrum, or a named error with a reason."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
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


DAMAGES = {
    "lost": lambda a, cut, b, bit: a + b,
    "twice": lambda a, cut, b, bit: a + cut + cut + b,
    "cut short": lambda a, cut, b, bit: a,
    "backwards": lambda a, cut, b, bit: a + cut[::-1] + b,
    "added": lambda a, cut, b, bit: a + bit + cut + b,
    "overwritten": lambda a, cut, b, bit: a + bit + b,
    "commas replaced": lambda a, cut, b, bit: a + cut.replace(b",", bit) + b,
    "lines joined": lambda a, cut, b, bit: a + cut.replace(b"\n", b"") + b,
}
PLACE = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
DAMAGE = st.tuples(
    st.sampled_from(sorted(DAMAGES)), PLACE, st.sampled_from(BITS) | st.binary(max_size=8)
)


def damaged(content: bytes, damages) -> Iterator[bytes]:
    """The file after each of the damages, one upon the other."""
    for damage, place, bit in damages:
        start, end = (round(share * len(content)) for share in place)
        content = DAMAGES[damage](content[:start], content[start:end], content[end:], bit)
        yield content


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


# About 5,000 files: 800 times up to 12 damages, with a look at the file after each of them.
@settings(max_examples=800, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(FILES), st.lists(DAMAGE, min_size=1, max_size=12))
def test_damaged_files(content, damages):
    for file in damaged(content, damages):
        spectrum_or_reason(file)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_bytes_and_text(content):
    spectrum_or_reason(content)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    files = {name(): text(), name(angle="45"): text(), name(kind="RAW"): text()}
    return zipped(tmp_path_factory.mktemp("zip") / "a.zip", files)


@pytest.fixture(scope="module")
def whole(path):
    return path.read_bytes()


# Half of the bytes in the directory at the end, where the structure is.
BYTE = st.tuples(st.integers(-500, -1) | st.integers(0, 2000), st.integers(0, 255))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(damages=st.lists(BYTE, min_size=1, max_size=4))
def test_damaged_archives(path, whole, damages):
    """A damaged zip is refused as a whole, or its damaged files are reported by name."""
    content = bytearray(whole)
    for at, byte in damages:
        content[at] = byte
    path.write_bytes(content)
    try:
        archive = rruff.read(path, cache=False)
    except rruff.ArchiveError as error:
        assert str(path) in str(error)
    else:
        assert len(archive.spectra) + len(archive.unreadable) + archive.raw <= 3
