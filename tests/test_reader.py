import numpy as np
import pytest

from fmcnn_utils.data.reader import Measured, measured, read_spectrum
from fmcnn_utils.results import UserError

SHIFT = np.arange(120.0, 1600.0, 1.3)
INTENSITY = 50 + 1000 / (1 + ((SHIFT - 464) / 5) ** 2) + 0.01 * SHIFT + np.sin(SHIFT)


def text(gap=",", sign=".", ends="\n", header="", footer="", order=slice(None), extra=""):
    lines = [
        f"{s:.3f}{gap}{i:.4f}{extra}".replace(".", sign)
        for s, i in zip(SHIFT[order], INTENSITY[order], strict=True)
    ]
    return header + ends.join(lines) + ends + footer


FORMS = {
    "commas": text(),
    "comma and blank": text(", "),
    "semicolons": text(";"),
    "tabs": text("\t"),
    "blanks": text("    "),
    "leading blanks": "\n".join("  " + line for line in text("  ").splitlines()),
    "decimal comma, semicolon": text(";", ","),
    "decimal comma, tab": text("\t", ","),
    "decimal comma, blanks": text("  ", ","),
    "old line ends": text(ends="\r"),
    "Windows": text(ends="\r\n"),
    "comments": text(header="# my spectrum\n# laser: 532 nm\n% made by hand\n"),
    "names of columns": text("\t", header="Raman Shift (cm-1)\tIntensity (counts)\n"),
    "RRUFF": text(", ", header="##NAMES=Quartz\n##RRUFFID=R1\n", footer="##END=\n"),
    "descending": text(order=slice(None, None, -1)),
    "third column": text("\t", extra="\t7"),
    "comma at the end": text(extra=","),
    "quotes": "\n".join(f'"{a}","{b}"' for a, b in (x.split(",") for x in text().split())),
    "exponents": "\n".join(f"{s:.6e} {i:.6E}" for s, i in zip(SHIFT, INTENSITY, strict=True)),
    "Fortran": "\n".join(
        f"{s:.6e} {i:.6e}".replace("e", "D") for s, i in zip(SHIFT, INTENSITY, strict=True)
    ),
    "blank lines": text(ends="\n\n"),
    "rows": " ".join(f"{s:.3f}" for s in SHIFT) + "\n" + " ".join(f"{i:.4f}" for i in INTENSITY),
    "numbered": "\n".join(
        f"{n}\t{s:.3f}\t{i:.4f}" for n, (s, i) in enumerate(zip(SHIFT, INTENSITY, strict=True))
    ),
    "map": "#X\t\t#Y\t\t#Wave\t\t#Intensity\n"
    + "\n".join(f"0\t0\t{s:.3f}\t{i:.4f}" for s, i in zip(SHIFT, INTENSITY, strict=True)),
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")


@pytest.mark.parametrize("form", FORMS)
def test_text_of_any_sane_form_is_read(form, tmp_path):
    file = tmp_path / "one.txt"
    file.write_bytes(FORMS[form].encode())
    one = read_spectrum(file)
    np.testing.assert_allclose(one.shift, SHIFT, atol=6e-4)
    np.testing.assert_allclose(one.intensity, INTENSITY, atol=1e-3)
    assert one.name == "one.txt"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_of_any_usual_encoding_is_read(encoding, tmp_path):
    file = tmp_path / "one.csv"
    header = "Probe: Müller\nRaman shift;Intensität\n"
    file.write_bytes(text(";", ",", header=header).encode(encoding))
    np.testing.assert_allclose(read_spectrum(file).shift, SHIFT, atol=6e-4)


def test_the_laser_is_taken_from_header_or_name(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text(text(header="Laser wavelength: 632.8 nm\nshift,counts\n"))
    assert read_spectrum(file).laser == 632.8
    file = tmp_path / "Quartz__R040031-1__Raman__785__0__ccw__Raman_Data_Processed__1.txt"
    file.write_text(text())
    assert read_spectrum(file).laser == 785


def test_repeated_unsorted_and_missing_points_are_told():
    order = np.random.default_rng(0).permutation(len(SHIFT))
    shift, intensity = np.repeat(SHIFT[order], 2), np.repeat(INTENSITY[order], 2)
    intensity[:4] = np.nan
    one = measured(shift, intensity)
    assert np.all(np.diff(one.shift) > 0) and len(one.shift) == len(SHIFT) - 2
    assert "4 points that are not finite" in one.notes[0] and "averaged" in one.notes[1]


STEP = np.linspace(0, 1, 1000)
BUMPS = 100 + 50 * np.sin(40 * STEP) ** 20
REFUSED = {
    "nm by its range": (540 + 60 * STEP, BUMPS, (), "seems to be in nm"),
    "nm by its name": (400 + 500 * STEP, BUMPS, ["Wavelength (nm)\tIntensity"], "in nm"),
    "eV": (2.2 + 0.2 * STEP, BUMPS, (), "seems to be in eV"),
    "pixels": (np.arange(1024), np.resize(BUMPS, 1024), (), "seems to be in pixels"),
    "pixels by their name": (
        np.arange(5, 1505),
        np.resize(BUMPS, 1500),
        ["Pixel,Counts"],
        "pixels",
    ),
    "absolute wavenumbers": (17000 + 1800 * STEP, BUMPS, (), "absolute wavenumber"),
    "short": (600 + 200 * STEP, BUMPS, ["shift,counts"], "300 cm⁻¹ are needed"),
    "few points": (np.linspace(200, 1500, 40), BUMPS[:40], (), "40 points"),
    "elsewhere": (2000 + 1500 * STEP, BUMPS, (), "0 points"),
    "flat": (150 + 1300 * STEP, np.full(1000, 7.0), (), "is flat"),
    "saturated": (150 + 1300 * STEP, np.minimum(BUMPS, 120), (), "is saturated"),
    "no numbers": (150 + 1300 * STEP, np.full(1000, np.nan), (), "points"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_raman_spectrum_is_refused_in_a_sentence(case):
    shift, intensity, header, said = REFUSED[case]
    with pytest.raises(UserError, match=said) as refused:
        measured(shift, intensity, header=header)
    assert "\n" not in str(refused.value)


BAD_FILES = {
    "empty": b"",
    "prose": b"Dear colleague,\nhere is the spectrum.\n" * 50,
    "one column": b"\n".join(b"%d.5" % n for n in range(500)),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
    "zeros": bytes(5000),
    "JSON": b'{"shift": [100, 200, 300], "counts": [1, 2, 3]}',
    "HTML": b"<html><body><h1>404</h1><p>not found</p></body></html>",
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_table_is_refused_by_its_name(case, tmp_path):
    file = tmp_path / "bad.txt"
    file.write_bytes(BAD_FILES[case])
    with pytest.raises(UserError) as refused:
        read_spectrum(file)
    assert str(refused.value).startswith(str(file)) and "\n" not in str(refused.value)


def test_a_folder_and_nothing_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_spectrum(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_spectrum(tmp_path / "none.txt")
    file = tmp_path / "broken.wdf"
    file.write_bytes(b"WDF1" + bytes(600))
    with pytest.raises(UserError, match="export the spectrum as text"):
        read_spectrum(file)


def damaged(random) -> bytes:
    """A readable file, and up to four things that happen to files."""
    forms = list(FORMS.values())
    content = forms[random.integers(len(forms))].encode(ENCODINGS[random.integers(6)])
    for _ in range(random.integers(1, 5)):
        a, b = np.sort(random.integers(0, len(content) + 1, 2))
        length = int(random.integers(1, 40))
        kind = random.integers(9)
        if kind == 0:
            content = content[:a]
        elif kind == 1:
            content = content[:a] + content[b:]
        elif kind == 2:
            content = content[:a] + random.bytes(length) + content[a:]
        elif kind == 3:
            content = content.replace(b".", b",") if random.random() < 0.5 else content.lower()
        elif kind == 4:
            content = content[:b] + content[a:b] + content[b:]
        elif kind == 5:
            content = content.replace(b"4", [b"", b"-", b"nan", b"1e400", b"99999999"][length % 5])
        elif kind == 6:
            content = content[::-1]
        elif kind == 7:
            content = content.replace(b"\n", [b"", b"\t", b"\0", b"\r\r\n", b";\n"][length % 5])
        else:
            content = content[:a] + "½, µ; –7 cm⁻¹\n".encode("utf-16")[:length] + content[a:]
    return content


@pytest.mark.parametrize("part", range(8))
def test_damaged_files_give_a_spectrum_or_a_sentence(part, tmp_path):
    """A few hundred here; with CI set, thousands."""
    import os

    random = np.random.default_rng(part)
    n_read, n = 0, 400 if os.environ.get("CI") else 40
    for _ in range(n):
        file = tmp_path / "damaged.txt"
        file.write_bytes(damaged(random))
        try:
            one = read_spectrum(file)
        except UserError as refused:
            assert len(str(refused).splitlines()) == 1 and len(str(refused)) < 600
            continue
        n_read += 1
        assert isinstance(one, Measured) and np.all(np.diff(one.shift) > 0)
        assert np.isfinite(one.intensity).all() and len(one.shift) == len(one.intensity)
    assert n / 10 < n_read < n  # neither all nor nothing is refused


def test_makers_files_are_read(tmp_path):
    """What RosettaSciIO gives for a spectrum, and for a map: the mean."""
    pytest.importorskip("rsciio")
    from unittest import mock

    axis = {"name": "Wavenumber", "units": "1/cm", "axis": SHIFT[::-1]}
    signal = {"data": np.stack([INTENSITY[::-1]] * 3), "axes": [{"size": 3}, axis]}
    file = tmp_path / "map.wdf"
    file.write_bytes(b"WDF1" + bytes(4) + (16).to_bytes(8, "little"))
    with mock.patch("rsciio.renishaw.file_reader", return_value=[signal]):
        one = read_spectrum(file)
    np.testing.assert_allclose(one.shift, SHIFT)
    np.testing.assert_allclose(one.intensity, INTENSITY)
