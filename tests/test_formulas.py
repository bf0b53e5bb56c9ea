import pytest

from fmcnn_utils import formulas, rruff
from fmcnn_utils.formulas import EXCHANGED, SAME_COMPOSITION, UNRELATED


@pytest.fixture(scope="module")
def of():
    """Formula of each mineral of the archive of 2019."""
    return rruff.manifest().groupby("mineral")["formula"].first()


def test_amounts():
    assert formulas.amounts("Fe^2+^_3_Al_2_(SiO_4_)_3_") == {"Fe": 3, "Al": 2, "Si": 3, "O": 12}
    assert formulas.amounts("(Mg,Fe)_2_SiO_4_") == {"Mg": 1, "Fe": 1, "Si": 1, "O": 4}
    assert formulas.amounts("[box]Ca_2_(OH,F)_2_·6-7H_2_O") == {"Ca": 2, "O": 1, "H": 1, "F": 1}
    tetrahedra = formulas.amounts("Ca_2_(Mg_4.5-2.5_Fe^2+^_0.5-2.5_)_Σ=5_[Si_4_O_11_]_2_")
    assert tetrahedra == {"Ca": 2, "Mg": 4.5, "Fe": 0.5, "Si": 8, "O": 22}


def test_every_formula_of_the_archive_can_be_read(of):
    for formula in of:
        assert formulas.amounts(formula)
        assert not set("_^") & set(formulas.readable(formula))


@pytest.mark.parametrize(
    "formula", ["SiO2", "Si_x_O", "silica", "(OH", "OH)_2_", "_2_O", "MgO,FeO"]
)
def test_what_is_no_formula_of_rruff_is_refused(formula):
    with pytest.raises(ValueError, match="cannot be read"):
        formulas.amounts(formula)


def test_readable():
    assert formulas.readable("(Mg_4_Fe_1_)_Σ=5_Si_8_") == "(Mg₄Fe₁)Si₈"
    assert formulas.readable("[box]Ca_2_Fe^3+^(SiO_4_)_1.5_·H_2_O") == "□Ca₂Fe³⁺(SiO₄)₁.₅·H₂O"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Calcite", "Aragonite", SAME_COMPOSITION),
        ("Kyanite", "Andalusite", SAME_COMPOSITION),  # Al2OSiO4 and Al2SiO5
        ("Rutile", "Anatase", SAME_COMPOSITION),
        ("Rutile", "Cassiterite", EXCHANGED),
        ("Almandine", "Pyrope", EXCHANGED),
        ("Albite", "Anorthite", EXCHANGED),
        ("Augite", "Diopside", EXCHANGED),
        ("Tremolite", "Edenite", EXCHANGED),
        ("Amblygonite", "Montebrasite", EXCHANGED),  # F for OH
        ("Almandine", "Annite", UNRELATED),  # both Si3O12, but one with hydroxyl
        ("Calcite", "Quartz", UNRELATED),
        ("Gypsum", "Anhydrite", UNRELATED),  # the same, but for its water
        ("Diopside", "Tremolite", UNRELATED),
        ("Pyrite", "Sphalerite", UNRELATED),
        ("Brucite", "Fluorite", UNRELATED),
    ],
)
def test_relation(a, b, expected, of):
    assert formulas.relation(of[a], of[b]) == formulas.relation(of[b], of[a]) == expected
