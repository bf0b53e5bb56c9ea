"""Text files and archives that look like RRUFF's."""

import zipfile
from pathlib import Path

import numpy as np

HEADER = {
    "NAMES": "Axinite-(Fe)",
    "RRUFFID": "R050026",
    "IDEAL CHEMISTRY": "Ca_2_Fe^2+^Al_2_BSi_4_O_15_OH_&#931;",
    "LOCALITY": "São Paulo",
    "STATUS": "The identification of this mineral has been confirmed by X-ray diffraction",
    "MEASURED CHEMISTRY": "(Ca_1.99_Na_0.01_)",
}
SHIFT = np.round(np.linspace(120.0, 1520.0, 60), 3)
INTENSITY = np.round(100 * np.exp(-(((SHIFT - 600) / 90) ** 2)), 3)


def text(shift=SHIFT, intensity=INTENSITY, end="\r\n", blank="", **header) -> bytes:
    """A file as RRUFF writes it: header lines in LF, points in CRLF. A key of None is left out."""
    keys = {**HEADER, **header}
    head = "".join(f"##{key}={value}\n" for key, value in keys.items() if value is not None)
    points = "".join(f"{x:.3f}, {y:.3f}{end}" for x, y in zip(shift, intensity, strict=True))
    return f"{head}{blank}{points}##END=\n\n\n".encode()


def name(mount="R050026-3", laser="514", angle="0", kind="Processed", number="77", mineral="Ax"):
    return f"{mineral}__{mount}__Raman__{laser}__{angle}__ccw__Raman_Data_{kind}__{number}.txt"


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return path
