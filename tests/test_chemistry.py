import re

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils.data import chemistry, rruff
from fmcnn_utils.data.chemistry import EXCHANGED, SAME_COMPOSITION, UNRELATED
from fmcnn_utils.data.spectra import GRID
from fmcnn_utils.results import DATA, UserError

FORMULAS = rruff.manifest().drop_duplicates("mineral").set_index("mineral")["formula"]
#: Elements in the minerals of 2019; a slip in reading the mark-up would add one.
PRESENT = (
    "Ag Al As B Ba Be C Ca Ce Cl Co Cr Cu F Fe H K Li Mg Mn Mo N Na Nb Ni O P Pb S Si Sn Sr Ti U V "
    "W Y Zn Zr"
)
TABLE = chemistry.bands()


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("CaSO4·2H2O", "Ca S O H"),
        ("Ca_2_(Mg_4.5-2.5_Fe^2+^_0.5-2.5_)_Σ=5_Si_8_O_22_(OH)_2_", "Ca Mg Fe Si O H"),
        ("(Na,Ca)_0.3_(Al,Mg)_2_Si_4_O_10_(OH)_2_·nH_2_O", "Na Ca Al Mg Si O H"),
        ("BiMo^6+^_(2-5x)_Mo^5+^_6x_O_7_(OH)·H_2_O (0≤x≤0.4)", "Bi Mo O H"),
        ("Cu<sup>2+</sup>_6_Y(PO_4_)_3_", "Cu Y P O"),
        ("(Y^3+^,REE)PO_4_", "Y REE P O"),
        ("CoCO_3_", "Co C O"),
    ],
)
def test_elements_reads_the_notation_of_rruff(formula, expected):
    assert chemistry.elements(formula) == set(expected.split())


def test_every_formula_of_2019_is_read():
    found = FORMULAS.map(chemistry.elements)
    assert len(found) == 222
    assert sorted(set().union(*found)) == PRESENT.split()
    assert found.map(lambda elements: "O" not in elements).sum() == 10  # counted by hand
    for formula in FORMULAS:
        assert np.isfinite([*chemistry.amounts(formula).values()]).all()
        assert not set("_^") & set(chemistry.readable(formula))


@pytest.mark.parametrize("formula", ["", "rust", "x", "(OH", "OH)_2_", "MgO,FeO"])
def test_what_is_no_formula_is_answered_with_one_sentence(formula):
    with pytest.raises(UserError, match=r"cannot read the formula '.*'; give it as in RRUFF"):
        chemistry.amounts(formula)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Fe^2+^_3_Al_2_(SiO_4_)_3_", {"Fe": 3, "Al": 2, "Si": 3, "O": 12}),
        ("(Mg,Fe)_2_SiO_4_", {"Mg": 1, "Fe": 1, "Si": 1, "O": 4}),
        ("(Na,Ca,[box])_6_", {"Na": 2, "Ca": 2}),
        ("[box]Ca_2_(OH,F)_2_·6-7H_2_O", {"Ca": 2, "O": 1, "H": 1, "F": 1}),
        (
            "(Mg_4.5-2.5_Fe^2+^_0.5-2.5_)_Σ=5_[Si_4_O_11_]_2_",
            {"Mg": 4.5, "Fe": 0.5, "Si": 8, "O": 22},
        ),
        ("CaSO4·2H2O", {"Ca": 1, "S": 1, "O": 4}),
        ("Fe_1-x_S", {"Fe": np.nan, "S": 1}),
    ],
)
def test_amounts(formula, expected):
    assert chemistry.amounts(formula) == pytest.approx(expected, nan_ok=True)


def test_readable():
    assert chemistry.readable("(Mg_4_Fe_1_)_Σ=5_Si_8_") == "(Mg₄Fe₁)Si₈"
    assert chemistry.readable("[box]Ca_2_Fe^3+^(SiO_4_)_1.5_·H_2_O") == "□Ca₂Fe³⁺(SiO₄)₁.₅·H₂O"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Calcite", "Aragonite", SAME_COMPOSITION),
        ("Kyanite", "Andalusite", SAME_COMPOSITION),  # Al2OSiO4 and Al2SiO5
        ("Almandine", "Pyrope", EXCHANGED),
        ("Augite", "Diopside", EXCHANGED),
        ("Amblygonite", "Montebrasite", EXCHANGED),  # F for OH
        ("Almandine", "Annite", UNRELATED),  # both Si3O12, but one with hydroxyl
        ("Gypsum", "Anhydrite", UNRELATED),  # the same, but for its water
        ("Pyrite", "Sphalerite", UNRELATED),
        ("Brucite", "Fluorite", UNRELATED),
    ],
)
def test_relation(a, b, expected):
    a, b = FORMULAS[[a, b]]
    assert chemistry.relation(a, b) == chemistry.relation(b, a) == expected


def test_every_row_of_the_table_is_whole():
    assert (TABLE["low"] < TABLE["high"]).all()
    assert not TABLE.duplicated(["group", "mode"]).any()
    assert set(TABLE["strength"]) == {"strong", "medium", "weak"}
    assert TABLE.drop(columns="without").astype(str).ne("").all(axis=None)
    words = set(" ".join(TABLE["needs"] + " " + TABLE["without"]).split())
    assert set().union(*map(chemistry.elements, words)) <= set(PRESENT.split())


def test_the_readme_names_every_source_and_counts_the_rows():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    works = re.findall(r"^\| (.*?) \| .* \|$", readme.partition("| in the table |")[2], re.M)
    named = "; ".join(works).replace("1969, 1970", "1969; Griffith 1970").split("; ")
    assert set("; ".join(TABLE["source"]).split("; ")) <= set(named)
    assert f"| {len(TABLE)} modes |" in readme
    assert "two rows lie beyond" in readme
    assert (TABLE["low"] > GRID[-1]).sum() == 2


@pytest.mark.parametrize(
    ("mineral", "position", "group", "mode"),
    [
        ("Calcite", 1085, "carbonate CO3", "ν1"),
        ("Quartz", 464, "silicate framework", "ring"),
        ("Gypsum", 1008, "sulphate SO4", "ν1"),
        ("Zircon", 1008, "silicate SiO4", "ν1"),
        ("Fluorapatite", 964, "phosphate PO4", "ν1"),
        ("Adamite", 845, "arsenate AsO4", "ν1"),
        ("Vanadinite", 827, "vanadate VO4", "ν1"),
        ("Crocoite", 841, "chromate CrO4", "ν1"),
        ("Wulfenite", 869, "molybdate MoO4", "ν1"),
        ("Scheelite", 911, "tungstate WO4 or WO6", "ν1"),
        ("Metatorbernite", 827, "uranyl UO2", "ν1"),
        ("Rutile", 447, "oxide or hydroxide", "M–O"),
        ("Pyrite", 343, "sulphide or sulphur", "S–S"),
        ("Whewellite", 1463, "oxalate C2O4", "C–O"),
        ("Diamond", 1332, "diamond", "C–C"),
        ("Brucite", 443, "hydroxyl OH", "M–OH"),
    ],
)
def test_the_textbook_band_of_a_mineral_is_explained_by_its_group(mineral, position, group, mode):
    found = chemistry.explain([(position, position)], FORMULAS[mineral])
    row = found[(found["group"] == group) & found["mode"].str.startswith(mode)]
    assert len(row) == 1 and row["allowed"].all()


@pytest.mark.parametrize(
    ("formula", "group"),
    [
        ("CaC_2_O_4_·H_2_O", "carbonate CO3"),
        ("CaSO_4_", "sulphide"),
        ("Cu_3_(CO_3_)_2_(OH)_2_", "alkane CH2 and CH3"),
        ("CaSO_4_·2H_2_O", "hydroxyl OH"),
        ("Mg(OH)_2_", "water H2O"),
        ("SiO_2_", "oxide or hydroxide"),
        ("Fe^2+^Cr_2_O_4_", "chromate CrO4"),
    ],
)
def test_a_group_that_the_formula_lacks_does_not_fit(formula, group):
    of_group = TABLE["group"] == group
    assert of_group.any()
    assert not chemistry.fits(formula, TABLE)[of_group].any()


def test_explain_counts_the_ends_of_a_range():
    low, high = TABLE.loc[TABLE["group"] == "diamond", ["low", "high"]].iloc[0]
    regions = [(low, low), (high, high), (low - 1, low - 1), (high + 1, high + 1), (low - 9, low)]
    found = chemistry.explain(regions, "C").query("group == 'diamond'")
    assert list(zip(found["from"], found["to"], strict=True)) == [*regions[:2], regions[4]]
    found = chemistry.explain([(1080, 1090), (2500, 2500)], "CaCO_3_").query("allowed")
    assert found["group"].tolist() == ["carbonate CO3"]


def test_agreement_by_hand():
    rows = pd.DataFrame(
        [(100, 200, "Ca", ""), (300, 400, "O", "")], columns=["low", "high", "needs", "without"]
    )
    positions = {"lime": [150, 350, 500, 160], "oldhamite": [150], "zincite": [150, 350]}
    formulas = {"lime": "CaO", "oldhamite": "CaS", "zincite": "ZnO", "halite": "NaCl"}
    found = chemistry.agreement(positions, formulas, rows)
    assert found.index.tolist() == ["lime", "oldhamite", "zincite"]
    assert found["fits"].tolist() == [3 / 4, 1, 1 / 2]
    # lime's with CaS 2/4, with ZnO 1/4; oldhamite's 1 and 0; zincite's 1 and 1/2
    assert found["chance"].tolist() == [3 / 8, 1 / 2, 3 / 4]
