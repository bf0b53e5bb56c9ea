"""Where files go, and writing them whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pooch

#: The repository, when the package runs from a checkout (it does, unless installed as a wheel).
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"


def cache_folder() -> Path:
    """Folder of what can be downloaded or computed again.

    ``data/cache`` of the checkout; the user's cache folder where there is no checkout, or it
    cannot be written to.
    """
    if (ROOT / "pyproject.toml").is_file() and os.access(DATA, os.W_OK):
        return DATA / "cache"
    return Path(pooch.os_cache("fmcnn-companion"))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, moved onto it if the block ends well, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_gzip(path: Path, content: bytes) -> None:
    """Write ``content`` gzipped, without the time and name that would change the bytes."""
    with (
        written_whole(path) as part,
        part.open("wb") as stream,
        gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed,
    ):
        packed.write(content)


def cached(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays kept at ``path``; if there are none, or damaged ones, those that ``make`` makes.

    The file is an npz of plain arrays (no pickle, so a foreign cache can run no code), and behind
    it the npz's sha256. The name of ``path`` must stand for all that the arrays are made from.
    """
    if path.exists():
        content = path.read_bytes()
        if content[-32:] == hashlib.sha256(content[:-32]).digest():
            with np.load(io.BytesIO(content[:-32]), allow_pickle=False) as kept:
                return dict(kept)
        warnings.warn(f"the cache {path} is damaged and made anew", stacklevel=3)
    arrays = make()
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    content = packed.getvalue()
    try:
        with written_whole(path) as part:
            part.write_bytes(content + hashlib.sha256(content).digest())
    except OSError as error:
        warnings.warn(f"cannot write the cache {path}: {error}", stacklevel=3)
    return arrays
