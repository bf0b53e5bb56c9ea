"""One RRUFF text file."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass

import numpy as np

from ._archive import UnreadableSpectrum

#: Limits of what counts as a measured point. Raman shifts end near 4,500 cm⁻¹; the margin lets
#: anti-Stokes and luminescence scans pass, and keeps a damaged digit from stretching the axis.
SHIFT_LIMITS = (-5_000.0, 20_000.0)
#: Counts beyond this overflow float32 arithmetic; the largest in RRUFF are near 1e6.
MAX_COUNT = 1e30


@dataclass(frozen=True)
class Scan:
    """One text file as parsed.

    Attributes:
        header: value of each ``##KEY=``, with HTML entities decoded.
        shift: Raman shift in cm⁻¹, (m,), finite and strictly increasing, m ≥ 2.
        intensity: counts, (m,), finite.
        checksum: of the numbers alone, see ``parse``.
        set_aside: lines that are neither header nor a point.
    """

    header: dict[str, str]
    shift: np.ndarray
    intensity: np.ndarray
    checksum: str
    set_aside: int


def parse(content: bytes | str) -> Scan:
    """One RRUFF text file.

    Lines ``##KEY=value`` are the header, wherever they stand; what follows ``##END`` is ignored.
    A point is a line of two numbers, between them a comma or white space. Line ends may be mixed,
    the encoding UTF-8 or cp1252. Points are sorted by Raman shift, and those that repeat a shift
    (files whose shifts were rounded) are replaced by their mean. Points that are not finite or
    beyond ``SHIFT_LIMITS`` are set aside, as are lines of free text.

    The checksum is the first 16 hex digits of the sha256 of the points, sorted by shift (stable)
    but not yet averaged, as little-endian float64 pairs shift, intensity: it does not change with
    line ends, header, encoding or machine.

    Raises:
        UnreadableSpectrum: for less than two different shifts, or if less than half of the lines
            outside the header are points.
    """
    text = _decode(content) if isinstance(content, bytes) else content
    text = "\n" + text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.partition("\n##END")[0]
    head, mark, rest = text.rpartition("\n##")  # the last header line, and below it the points
    last, _, body = rest.partition("\n")
    header, lines = {}, []
    for line in [*head.split("\n"), mark.strip() + last]:
        key, equals, value = line.partition("=")
        if line.startswith("##") and equals:
            header.setdefault(key[2:].strip(), html.unescape(value.strip()))
        elif line:
            lines.append(line)
    lines.extend(filter(None, body.split("\n")))
    if not lines:
        raise UnreadableSpectrum("holds no points")
    points = _points(lines)
    measured = np.isfinite(points).all(axis=1) & (np.abs(points[:, 1]) < MAX_COUNT)
    measured &= (points[:, 0] > SHIFT_LIMITS[0]) & (points[:, 0] < SHIFT_LIMITS[1])
    if not measured.all():
        points = points[measured]
    if 2 * len(points) < len(lines):
        raise UnreadableSpectrum(f"only {len(points)} of {len(lines)} lines are points")
    if (np.diff(points[:, 0]) < 0).any():
        points = points[np.argsort(points[:, 0], kind="stable")]
    checksum = hashlib.sha256(points.astype("<f8").tobytes()).hexdigest()[:16]
    shift, intensity = points.T
    if not (np.diff(shift) > 0).all():
        shift, group, size = np.unique(shift, return_inverse=True, return_counts=True)
        intensity = np.bincount(group, intensity) / size
    if len(shift) < 2:
        raise UnreadableSpectrum(f"holds {len(shift)} points at different Raman shifts, not 2")
    return Scan(header, shift, intensity, checksum, len(lines) - len(points))


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _points(lines: list[str]) -> np.ndarray:
    """Points of the lines that are points, float64 (m, 2)."""
    try:
        points = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
        if points.shape[1] == 2:
            return points
    except ValueError:  # free text among the points, or columns separated by white space
        pass
    points = []
    for line in lines:
        try:
            shift, intensity = map(float, line.replace(",", " ").split())
        except ValueError:
            continue
        points.append((shift, intensity))
    return np.array(points, dtype=float).reshape(-1, 2)
