"""Numbers that are checked where they are printed."""

from __future__ import annotations


def check(name: str, value: float, low: float, high: float, digits: int = 3) -> None:
    """Print a measured number beside the band it must lie in, or stop.

    Training rounds differently on different processors, so the digits behind ``≈`` may change
    from one machine to the next while the claim holds. Everywhere in the notebooks ``≈`` marks
    such a number: the notebook tests mask what follows it and rely on the band instead.

    Args:
        name: what was measured.
        value: the number.
        low: lower end of the band, included.
        high: upper end, included.
        digits: decimals to print.

    Raises:
        AssertionError: if the value is outside the band, or not a number.
    """
    band = f"{low:.{digits}f}–{high:.{digits}f}"
    if not low <= value <= high:
        raise AssertionError(f"{name}: {value:.{digits}f} is outside the expected {band}")
    print(f"{name}: ≈{value:.{digits}f}, expected {band}: ok")


def approx(value: float, digits: int = 3) -> str:
    """A training-dependent number for a table, marked ``≈`` (see ``check``)."""
    return f"≈{value:.{digits}f}"
