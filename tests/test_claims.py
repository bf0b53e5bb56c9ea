import numpy as np
import pytest

from fmcnn_utils import claims


def test_a_claim_inside_its_band_is_printed_with_it(capsys):
    claims.check("FMCNN accuracy", 0.9712, 0.95, 1.0)
    assert capsys.readouterr().out == "FMCNN accuracy: ≈0.971, expected 0.950–1.000: ok\n"


@pytest.mark.parametrize("value", [0.94, 1.01, np.nan])
def test_a_claim_outside_its_band_stops(value):
    with pytest.raises(AssertionError, match="is outside the expected 0"):
        claims.check("FMCNN accuracy", value, 0.95, 1.0)
