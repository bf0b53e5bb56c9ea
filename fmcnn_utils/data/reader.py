"""One measured spectrum: from a file of any sane form to what network and library are asked."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from itertools import groupby
from pathlib import Path

import numpy as np
from pybaselines import Baseline
from scipy.ndimage import gaussian_filter1d

from ..results import UserError
from .rruff import MAX_FILE_BYTES, MAX_NUMBER
from .spectra import GRID

#: What is asked of a spectrum inside the range of ``GRID``.
LEAST_POINTS, LEAST_RANGE = 50, 300.0
#: Formats of the makers, by the end of the name, and RosettaSciIO's reader of each.
MAKERS = {".wdf": "renishaw", ".xml": "jobinyvon", ".tvf": "trivista", ".img": "hamamatsu"}
#: Points across of common detectors: an axis that counts to one of these counts pixels.
_DETECTORS = {256, 512, 1000, 1024, 1044, 1340, 1600, 1650, 2048, 2068, 3648, 4096}
#: Other units of an axis: how a header names them, and what to do with each.
_NAMES = {
    "pixels": r"pixel",
    "eV": r"\bm?ev\b|energy",
    "nm": r"(?<!\d)(?<!\d )\bnm\b|nanomet|wavelength",
}
_CONVERT = {
    "pixels": "calibrate it with a known line, silicon's at 520.7 cm⁻¹ for one",
    "eV": "multiply the difference to the laser's energy by 8,065.5 cm⁻¹/eV",
    "nm": "convert it, 10⁷/laser − 10⁷/wavelength, both in nm",
    "absolute wavenumbers": "subtract it from the laser's wavenumber, 10⁷/nm",
}
_LASER = re.compile(r"(?:laser|excit)[^\d]{0,40}(\d{3,4}(?:\.\d+)?)\s*(?:nm|$)", re.I)
#: Consecutive points at the very maximum that no band has, unless the detector was full.
_SATURATED = 5

#: Ways to write a row of numbers: what stands between them (None: blanks, tabs or semicolons), and
#: the decimal sign. The one that fits most lines is taken, the first where several fit as many.
_ROWS = ((",", "."), (None, "."), (None, ","))

#: Smoothness of the Whittaker baselines on a grid of 1 cm⁻¹.
SMOOTHNESS = 5e5
#: Methods of pybaselines, and their parameters.
_BACKGROUNDS = {
    "iarpls": {"lam": SMOOTHNESS, "max_iter": 10},
    "arpls": {"lam": SMOOTHNESS, "max_iter": 20},
    "asls": {"lam": SMOOTHNESS, "max_iter": 20},
    "snip": {"max_half_window": 40, "decreasing": True, "smooth_half_window": 3},
    "modpoly": {"poly_order": 6},
}
BASELINES = ("auto", "none", *_BACKGROUNDS)
#: A background is taken away when it is on median more than this part of the highest band above
#: it (as of RRUFF's processed spectra two to ten in a hundred still have), and is called strong.
NEEDED, STRONG = 0.02, 1.0
#: Noise, as a part of the highest band, above which the spectrum is smoothed, and of what is left
#: of it this many standard deviations are taken away: else the root that lifts weak bands lifts it.
NOISY, BELOW = 0.004, 4.0
#: A spike rises this many times the noise above what is two points away on either side.
SPIKE = 12.0


@dataclass(frozen=True)
class Measured:
    """One spectrum as it was measured; ``notes`` say what was done while reading."""

    name: str  # what to call it: the name of its file
    shift: np.ndarray  # Raman shift in cm⁻¹, (m,), strictly increasing
    intensity: np.ndarray  # (m,), finite, in any unit
    laser: float | None = None  # wavelength in nm, where the file says it
    notes: list[str] = field(default_factory=list)  # a sentence each


@dataclass(frozen=True)
class Prepared:
    """A spectrum on the grid; ``notes`` say what was done to it, and what limits the answer."""

    measured: Measured
    x: np.ndarray  # (1360,), no background or spikes, highest point 1, 0 outside the range
    raw: np.ndarray  # (1360,), only interpolated; nan outside the range
    background: np.ndarray  # (1360,), what was taken away; 0 where nothing was
    low: float  # lower end of the measured range inside the grid, in cm⁻¹
    high: float
    noise: float  # standard deviation of the noise, as a part of the highest band
    notes: list[str]  # a sentence each


def read_spectrum(path: str | Path) -> Measured:
    """A spectrum from a text file of two columns, or from a file of a maker of spectrometers.

    Text: columns with commas, semicolons, tabs or blanks between them; point or comma as the
    decimal sign; UTF-8, UTF-16 or cp1252; lines of text anywhere; the axis in any order. Of more
    than two columns, those named shift (or wavenumber) and intensity are taken, otherwise the
    first two that are not a row number. UserError for whatever is no Raman spectrum.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the files in it, for example {path}/*.txt")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check its name")
    maker, size = MAKERS.get(path.suffix.lower()), path.stat().st_size
    if size > MAX_FILE_BYTES and not maker:
        raise UserError(
            f"{path} has {size:,} bytes, far more than one spectrum: give a file of one spectrum"
        )
    try:
        columns, header = _from_maker(path, maker) if maker else _from_text(path.read_bytes())
        return measured(*columns, path.name, header)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def measured(shift, intensity, name="spectrum", header=(), laser: float | None = None) -> Measured:
    """Two arrays as a spectrum: sorted, repeated shifts averaged.

    ``header`` holds the lines of text that came with it, which may say ``laser``, in nm. UserError
    for an axis not in cm⁻¹, too few points or too small a range, a flat or saturated spectrum.
    """
    shift, intensity = (np.asarray(a, dtype=float).ravel() for a in (shift, intensity))
    if len(shift) != len(intensity):
        raise UserError(f"has {len(shift)} shifts and {len(intensity)} intensities: give as many")
    notes = []
    fine = (np.abs(shift) < MAX_NUMBER) & (np.abs(intensity) < MAX_NUMBER)  # nan is not
    if n := (~fine).sum():
        notes.append(f"{n} points that are not finite were left out")
    shift, group, size = np.unique(shift[fine], return_inverse=True, return_counts=True)
    intensity = np.bincount(group, intensity[fine]) / size
    if n := (size - 1).sum():
        notes.append(f"{n} points that repeat a Raman shift were averaged")
    if not len(shift):
        raise UserError("has no points: give the Raman shift in cm⁻¹ and the intensity")
    if wrong := _wrong_unit(shift, header):
        raise UserError(
            f"its axis, from {shift[0]:g} to {shift[-1]:g}, seems to be in {wrong}, and a Raman "
            f"shift in cm⁻¹ is needed: {_CONVERT[wrong]}"
        )
    inside = (shift >= GRID[0]) & (shift <= GRID[-1] + 1)
    span = np.ptp(shift[inside]) if inside.any() else 0
    if inside.sum() < LEAST_POINTS or span < LEAST_RANGE:
        raise UserError(
            f"its axis goes from {shift[0]:g} to {shift[-1]:g} with {inside.sum()} points over "
            f"{span:.0f} cm⁻¹ between 150 and 1,510 cm⁻¹, and {LEAST_POINTS} points over "
            f"{LEAST_RANGE:.0f} cm⁻¹ are needed: measure a wider range; if it is in nm, "
            f"{_CONVERT['nm']}"
        )
    _refuse_flat(intensity[inside])
    return Measured(name, shift, intensity, laser or _laser(header, name), notes)


def _from_text(content: bytes) -> tuple[np.ndarray, list[str]]:
    """The columns of shift and intensity, (2, m), and the lines that are text."""
    lines = [line.replace('"', "").strip(" ,;\t\xa0'") for line in _decode(content).splitlines()]
    lines = [line for line in lines if line]
    # Of each way: the rows of at least two numbers that are as long as most of them are.
    tables, fits = [], []
    for gap, sign in _ROWS:
        rows = [_numbers(line, gap, sign) for line in lines]
        sizes = Counter(len(row) for row in rows if len(row) > 1)
        width = max(sizes, key=sizes.get, default=2)
        tables.append([row[:width] for row in rows if len(row) >= width])
        fits.append(rows)
        if len(tables[-1]) > 0.8 * len(lines):
            break
    values = max(tables, key=len)
    is_text = [not any(rows) for rows in zip(*fits, strict=True)]
    header = [line for line, text in zip(lines, is_text, strict=True) if text]
    table = np.array(values).T
    if len(table) > 20 > len(values):  # spectra in rows
        table = table.T
    if len(table) < 2 or len(header) > max(200, len(values)):
        raise UserError(
            f"has {len(values) or 'no'} rows of numbers in two columns, of {len(lines)} lines: "
            "give a text file with two columns, the Raman shift in cm⁻¹ and the intensity"
        )
    return table[list(_which(table, header))], header


def _decode(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if content[:3] == b"\xef\xbb\xbf":
        return content[3:].decode("utf-8", errors="replace")
    if content.count(b"\0") > len(content) // 4:  # UTF-16 without its mark
        even = content[0::2].count(b"\0") > content[1::2].count(b"\0")
        return content.decode("utf-16-be" if even else "utf-16-le", errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _numbers(line: str, gap: str | None, sign: str) -> list[float]:
    """The numbers of a line; none if there is anything else in it."""
    if line[0] not in "+-.0123456789" or "_" in line:
        return []
    parts = line.split(gap) if gap else line.replace(";", " ").split()
    if sign == "," and ("." in line or any(part.endswith(",") for part in parts)):
        return []
    try:
        # Fortran writes 1.5D+02
        return [float(part.replace(sign, ".").upper().replace("D", "E")) for part in parts]
    except ValueError:
        return []


def _which(table: np.ndarray, header: list[str]) -> tuple[int, int]:
    """The columns of shift and intensity."""
    n = len(table)
    for line in map(str.lower, reversed(header)):
        names = [name for name in re.split(r"[\t;,]|\s{2,}|#", line) if name.strip()]
        if len(names) != n:
            names = line.replace("#", " ").split()
        if len(names) == n:
            shift = [i for i, name in enumerate(names) if re.search(r"shift|wave|cm|raman", name)]
            counts = [i for i, name in enumerate(names) if re.search(r"intens|counts|signal", name)]
            if shift and counts and shift[0] != counts[0]:
                return shift[0], counts[0]
    first = table[0]
    numbered = n > 2 and first[0] in (0, 1) and len(first) > 2 and np.all(np.diff(first) == 1)
    steps = np.diff(table[1])
    return (1, 2) if numbered and (np.all(steps > 0) or np.all(steps < 0)) else (0, 1)


def _from_maker(path: Path, maker: str) -> tuple[tuple, list[str]]:
    try:
        reader = import_module(f"rsciio.{maker}")
    except ImportError:
        raise UserError(
            "needs RosettaSciIO: pip install rosettasciio, or export the spectrum as text"
        ) from None
    try:
        if maker == "renishaw":
            _check_wdf(path.read_bytes())
        signal = next(s for s in reader.file_reader(str(path)) if np.ndim(s["data"]) >= 1)
        intensity, axis = np.asarray(signal["data"], dtype=float), signal["axes"][-1]
        shift = axis.get("axis")
        if shift is None:
            shift = axis["offset"] + axis["scale"] * np.arange(axis["size"])
        mean = intensity.reshape(-1, intensity.shape[-1]).mean(axis=0)  # of a map
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f"cannot be read as a file of {maker} ({error}): export the spectrum as text"
        ) from error
    return (shift, mean), [f"{axis.get('name', '')} {axis.get('units', '')}"]


def _check_wdf(content: bytes) -> None:
    """Follow its blocks, each with its size in bytes 8 to 16: a size of 0 would be read forever."""
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        if size < 16 or at + size > len(content):
            raise ValueError(f"damaged or cut short at byte {at}")
        at += size


def _wrong_unit(shift: np.ndarray, header) -> str | None:
    """The unit of an axis that is not in cm⁻¹, as its header says it, or as its numbers look."""
    about = [line for line in header if re.search(r"axis", line, re.I)] + list(header)[-1:]
    text = " ".join(about).lower()
    said_right = re.search(r"cm|shift", text)
    said = {unit: not said_right and re.search(name, text) for unit, name in _NAMES.items()}
    low, high, span = shift[0], shift[-1], np.ptp(shift)
    looks = {
        "pixels": low in (0, 1) and np.all(np.diff(shift) == 1) and len(shift) in _DETECTORS,
        "eV": span < 10 and 0 < low < 10,
        "absolute wavenumbers": low > 8000,
        "nm": not said_right and low > 200 and high < 1200 and span < LEAST_RANGE,
    }
    return next((unit for unit, is_so in [*said.items(), *looks.items()] if is_so), None)


def _refuse_flat(intensity: np.ndarray) -> None:
    if (n := len(np.unique(intensity))) < 5:
        raise UserError(
            f"is flat, with {n} different intensities from 150 to 1,510 cm⁻¹: check the columns"
        )
    longest = max(sum(run) for _, run in groupby(intensity == intensity.max()))
    if longest >= _SATURATED:
        raise UserError(
            f"is saturated: {longest} points in a row have the highest intensity, "
            f"{intensity.max():g}; measure it again with less laser power or time"
        )


def _laser(header, name: str) -> float | None:
    """The laser's wavelength in nm, where the text or RRUFF's name says it."""
    found = next(filter(None, map(_LASER.search, header)), None)
    if found is None and len(fields := name.split("__")) == 8:
        found = re.match(r"(\d{3,4}(?:\.\d+)?)", fields[3])
    return float(found[1]) if found else None


def prepare(measured: Measured, baseline: str = "auto") -> Prepared:
    """Spikes and background removed where the spectrum needs it, on the common grid.

    ``baseline`` is "none"; the name of a method of pybaselines, applied always; or "auto", iarpls
    (Ye et al. 2020) where the background is higher than ``NEEDED``. UserError if no band is left.
    """
    if baseline not in BASELINES:
        raise UserError(f"baseline {baseline!r} is not one of {', '.join(BASELINES)}")
    notes, shift = list(measured.notes), measured.shift
    y, n_spikes = without_spikes(shift, measured.intensity)
    if n_spikes:
        notes.append(f"{n_spikes} spikes, as of cosmic rays, were replaced by their neighbours")
    low, high = max(GRID[0], shift[0]), min(GRID[-1], shift[-1])
    inside = (low <= GRID) & (high >= GRID)
    raw, background, x = np.full(len(GRID), np.nan), np.zeros(len(GRID)), np.zeros(len(GRID))
    values = raw[inside] = np.interp(GRID[inside], shift, y)
    if baseline != "none":
        fitted = _background(values, "iarpls" if baseline == "auto" else baseline)
        top = (values - fitted).max()
        share = np.median(np.clip(fitted - min(values.min(), 0), 0, None)) / max(top, 1e-12)
        if baseline != "auto" or share > NEEDED:
            background[inside] = fitted
            notes.append(f"a background was taken away ({share:.0%} of the highest band)")
            if share > STRONG:
                notes[-1] += "; it is stronger than the bands, and weak ones may be lost"
    values = values - background[inside]
    noise, top = _noise(y[(low <= shift) & (shift <= high)]), values.max()
    if top <= 4 * noise:
        raise UserError("no band stands out of its noise: measure longer, or at another spot")
    noise, values = noise / top, values / top
    if noise > NOISY:
        sigma, step = 1.5 * min(noise / 0.01, 2), max(np.median(np.diff(shift)), 1.0)
        # of white noise, a Gaussian of sigma points leaves this part
        left = noise * np.sqrt(step / (2 * np.sqrt(np.pi) * max(sigma, 0.3)))
        values = gaussian_filter1d(values, sigma) - BELOW * left
    x[inside] = np.clip(values, 0, None) / values.max()
    if low > GRID[0] + 100 or high < GRID[-1] - 300:
        notes.append(
            f"only {low:.0f} to {high:.0f} cm⁻¹ was measured: what lies outside is unknown, and "
            "the library is compared inside alone"
        )
    if noise > 0.03:
        notes.append(f"the noise is {noise:.0%} of the highest band")
    return Prepared(measured, x.astype(np.float32), raw, background, low, high, noise, notes)


def without_spikes(shift, intensity) -> tuple[np.ndarray, int]:
    """Intensities without spikes of one or two points, and how many points were replaced.

    No band is as narrow: beside a spike, two points away on either side, next to nothing is left
    of its height. Only where points are at most 1.5 cm⁻¹ apart, since else a band may look so.
    """
    y = np.array(intensity, dtype=float)
    if len(y) < 20 or np.median(np.diff(shift)) > 1.5:
        return y, 0
    wide = np.pad(y, 3, mode="edge")
    beside = [wide[3 + k : len(wide) - 3 + k] for k in (-3, -2, 2, 3)]
    level, top = np.median(beside, axis=0), np.max(beside, axis=0)
    height, least = y - level, max(SPIKE * max(_noise(y), 1e-12), 0.02 * np.ptp(y))
    spikes = (height > least) & (top - level < 0.1 * height)
    at = np.arange(len(y))
    y[spikes] = np.interp(at[spikes], at[~spikes], y[~spikes])
    return y, int(spikes.sum())


def _background(y: np.ndarray, method: str) -> np.ndarray:
    fit, parameters = Baseline(np.arange(len(y), dtype=float)), _BACKGROUNDS[method]
    if method != "iarpls":
        return getattr(fit, method)(y, **parameters)[0]
    # Its weights harden with each iteration. Under a strong background, or in a spectrum almost
    # without noise, they then follow the first guess, far below the bands' feet. So it stops
    # early, and is fitted again to what is left.
    first = fit.iarpls(y, lam=SMOOTHNESS, max_iter=4)[0]
    return first + fit.iarpls(y - first, **parameters)[0]


def _noise(y: np.ndarray) -> float:
    """Standard deviation of the noise, from second differences; the median passes over bands."""
    return float(1.4826 * np.median(np.abs(y[2:] - 2 * y[1:-1] + y[:-2])) / np.sqrt(6))
