"""Whatever happened to a file: a spectrum, or a named error with a reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rruff_files import name, text, zipped

from fmcnn_utils import data, results
from fmcnn_utils.data import rruff

FILES = [
    text(),
    text(end="\n", blank="\r\nFiducial mark, 30 degrees off\n").decode().encode("cp1252"),
    text().replace(b", ", b"\t"),
    text(np.linspace(1500, 100, 60)),
    text(np.round(np.linspace(100, 130, 60))),  # repeats its shifts
]
BITS = b"nan|-inf|1e999|1e-320|##|\n##END=|,|\n|\r|\0|-|.|1_0|0x1p3|1, 2, 3\n|##NAMES=\n|=|\xe9"
BITS = [*BITS.split(b"|"), b"", "٣".encode(), b"\xef\xbb\xbf", *text().splitlines()[::9]]
PLACE = st.tuples(st.floats(0, 1), st.floats(0, 0.2))
DAMAGE = st.tuples(PLACE, st.sampled_from(BITS) | st.binary(max_size=8), st.booleans())
unhurried = settings(deadline=None, derandomize=True, database=None)


def check(content: bytes):
    try:
        scan = rruff.parse(content)
    except rruff.UnreadableSpectrum as error:
        assert str(error)
        return
    assert scan.shift.shape == scan.intensity.shape
    assert len(scan.shift) >= 2
    assert np.isfinite(scan.shift).all() and np.isfinite(scan.intensity).all()
    assert (np.diff(scan.shift) > 0).all()
    assert np.isfinite(data.resample(scan.shift, scan.intensity)).all()


# About 5,000 files: 800 times up to 12 damages, with a look at the file after each of them.
@settings(unhurried, max_examples=800)
@given(st.sampled_from(FILES), st.lists(DAMAGE, min_size=1, max_size=12))
def test_damaged_files(content, damages):
    """A part of the file is lost, overwritten or, every comma in it replaced by the same bytes."""
    for (start, length), bit, commas in damages:
        start, end = (round(share * len(content)) for share in (start, start + length))
        damaged = content[start:end].replace(b",", bit) if commas else bit
        content = content[:start] + damaged + content[end:]
        check(content)


@settings(unhurried, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes_and_text(content):
    check(content)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    files = {name(): text(), name(angle="45"): text(), name(kind="RAW"): text()}
    return zipped(tmp_path_factory.mktemp("zip") / "whole.zip", files)


# Half of the bytes in the directory at the end, where the structure is.
BYTE = st.tuples(st.integers(-500, -1) | st.integers(0, 2000), st.integers(0, 255))


@settings(unhurried, max_examples=300)
@given(damages=st.lists(BYTE, min_size=1, max_size=4))
def test_damaged_archives(path, damages):
    """A damaged zip is refused as a whole, or its damaged files are reported by name."""
    content = bytearray(path.read_bytes())
    for at, byte in damages:
        content[at] = byte
    path = path.with_name("damaged.zip")
    path.write_bytes(content)
    try:
        archive = rruff._read(path)  # without the cache
    except results.UserError as error:
        assert str(path) in str(error)
    else:
        assert len(archive.spectra) + len(archive.unreadable) + archive.raw <= 3
