import json

import numpy as np
import pytest

from fmcnn_utils import numbers
from fmcnn_utils.numbers import Number


def shown(monkeypatch, *given):
    seen = []
    monkeypatch.setattr(numbers, "display", lambda data, raw: seen.append(data))
    numbers.show(*given)
    (data,) = seen
    return data


def test_numbers_are_shown_with_their_ranges_and_kept_for_programs(monkeypatch):
    data = shown(
        monkeypatch,
        Number("FMCNN's accuracy", np.float32(0.9712), 0.95, 1.0),
        Number("time of a fit", 30, unit="s", digits=0),
    )
    assert "<td>≈0.971</td>" in data["text/html"]
    assert "<td>0.950 to 1.000</td>" in data["text/html"]
    assert "<td>≈30 s</td>" in data["text/html"]
    first, second = json.loads(data[numbers.MIME])
    assert first["value"] == pytest.approx(0.9712)
    assert (second["name"], second["unit"], second["low"]) == ("time of a fit", "s", None)


@pytest.mark.parametrize("value", [0.94, 1.01, np.nan])
def test_a_number_outside_of_its_range_stops_the_notebook(value):
    with pytest.raises(AssertionError, match=r"FMCNN accuracy: .* is outside of 0\.950 to 1\.000"):
        numbers.show(Number("FMCNN accuracy", value, 0.95, 1.0))
