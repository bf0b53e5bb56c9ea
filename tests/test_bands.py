import re

import numpy as np
import pandas as pd
import pytest

from fmcnn_utils import bands, rruff
from fmcnn_utils._io import DATA
from fmcnn_utils.spectra import GRID

FORMULAS = rruff.manifest().drop_duplicates("mineral").set_index("mineral")["formula"]


@pytest.fixture(scope="module")
def table():
    return bands.table()


def test_every_row_of_the_table_is_whole(table):
    assert (table["low"] < table["high"]).all()
    assert not table.duplicated(["group", "mode"]).any()
    assert set(table["strength"]) == {"strong", "medium", "weak"}
    assert set(table["kind"]) == {"inorganic", "organic"}
    filled = table.drop(columns=["without"])
    assert (filled.astype(str).apply(lambda column: column.str.strip()) != "").all(axis=None)


def test_the_table_asks_for_nothing_but_elements_and_groups_of_them(table):
    for word in " ".join(table["needs"] + " " + table["without"]).split():
        assert bands.elements(word)


def test_every_source_is_among_the_works_in_the_readme(table):
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    works = re.findall(r"^\| (.*?) \| .* \|$", readme.partition("| in the table |")[2], re.M)
    named = "; ".join(works).replace("1969, 1970", "1969; Griffith 1970").split("; ")
    assert set("; ".join(table["source"]).split("; ")) <= set(named)


def test_the_readme_counts_the_rows(table):
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"| {len(table)} modes |" in readme
    assert "two rows lie beyond" in readme
    assert (table["low"] > GRID[-1]).sum() == 2


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("CaCO_3_", "Ca C O"),
        ("CaSO4·2H2O", "Ca S O H"),
        ("CaSO_4_&middot;2H_2_O", "Ca S O H"),
        ("Ca_2_(Mg_4.5-2.5_Fe^2+^_0.5-2.5_)_Σ=5_Si_8_O_22_(OH)_2_", "Ca Mg Fe Si O H"),
        ("[box]Na_2_(Fe^2+^_3_Fe^3+^_2_)Si_8_O_22_(OH)_2_", "Na Fe Si O H"),
        ("☐Ca_2_Mg_5_Si_8_O_22_(OH)_2_", "Ca Mg Si O H"),
        ("(Na,Ca)_0.3_(Al,Mg)_2_Si_4_O_10_(OH)_2_·nH_2_O", "Na Ca Al Mg Si O H"),
        ("Fe_1-x_S", "Fe S"),
        ("Fe_x_S_y_", "Fe S"),
        ("KFe^3+^_4_(As^5+^O_4_)_3_(OH)_4_·6-7H_2_O", "K Fe As O H"),
        ("CoCO_3_", "Co C O"),
    ],
)
def test_elements_reads_the_notation_of_rruff(formula, expected):
    assert bands.elements(formula) == set(expected.split())


def test_every_formula_of_the_manifest_is_read():
    found = FORMULAS.map(bands.elements)
    assert len(found) == 222
    assert set().union(*found) <= bands.ELEMENTS
    # Counted by hand in the list of formulas: what a slip of the mark-up would add or lose.
    assert sorted(found.index[found.map(lambda e: "O" not in e)]) == [
        "Arsenopyrite",
        "Carrollite",
        "Chalcopyrite",
        "Covellite",
        "Diamond",
        "Fluorite",
        "Pyrite",
        "Silicon",
        "Sphalerite",
        "Sulphur",
    ]


def test_every_formula_of_the_archive_is_read(real):
    for formula in real.meta["formula"].unique():
        assert bands.elements(formula) <= bands.ELEMENTS


@pytest.mark.parametrize("formula", ["", "_2_", "Xx_2_O", "CaCO_3_ or so", "Ca$CO_3_", "x", "rust"])
def test_what_is_no_formula_is_answered_with_one_sentence(formula):
    with pytest.raises(
        ValueError, match=r"cannot read the formula .*; give it as in RRUFF"
    ) as error:
        bands.elements(formula)
    assert repr(formula) in str(error.value) and "\n" not in str(error.value)


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
    found = bands.explain([position], FORMULAS[mineral])
    row = found[(found["group"] == group) & found["mode"].str.startswith(mode)]
    assert len(row) == 1 and row["allowed"].all()


@pytest.mark.parametrize(
    ("formula", "group"),
    [
        ("NaCl", "carbonate CO3"),
        ("CaC_2_O_4_·H_2_O", "carbonate CO3"),
        ("FeS_2_", "sulphate SO4"),
        ("CaSO_4_", "sulphide"),
        ("CaSiO_3_", "carbonate CO3"),
        ("Cu_3_(CO_3_)_2_(OH)_2_", "alkane CH2 and CH3"),
        ("CaSO_4_·2H_2_O", "hydroxyl OH"),
        ("Mg(OH)_2_", "water H2O"),
        ("SiO_2_", "oxide or hydroxide"),
        ("Fe^2+^Cr_2_O_4_", "chromate CrO4"),
        ("MoS_2_", "molybdate MoO4"),
        ("CoAs_3_", "arsenate AsO4"),
        ("SiC", "silicate SiO4"),
    ],
)
def test_a_group_that_the_formula_lacks_does_not_fit(table, formula, group):
    of_group = table["group"] == group
    assert of_group.any()
    assert not bands.fits(formula, table)[of_group].any()


def test_a_sulphide_that_is_also_a_silicate_may_have_bands_of_both(table):
    fitting = set(table["group"][bands.fits("Be_3_Mn^2+^_4_(SiO_4_)_3_S", table)])
    assert {"sulphide", "silicate SiO4"} <= fitting and "sulphate SO4" not in fitting


def test_assign_counts_the_ends_of_a_range_and_the_width_of_a_region(table):
    rows = table[table["group"] == "diamond"]
    low, high = rows[["low", "high"]].iloc[0]
    for position, width, expected in [
        (low, 0, 1),
        (high, 0, 1),
        (low - 1, 0, 0),
        (high + 1, 0, 0),
        (low - 10, 20, 1),
        (low - 10, 18, 0),
        ((low + high) / 2, 0, 1),
        ((low + high) / 2, 1000, 1),
    ]:
        assert len(bands.assign(position, width, rows)) == expected


def test_explain_keeps_the_regions_and_puts_what_is_allowed_first():
    found = bands.explain([(1080, 1090), 2500, 464.0], "CaCO_3_")
    assert list(found[["from", "to"]].drop_duplicates().itertuples(index=False, name=None)) == [
        (1080, 1090),
        (464, 464),
    ]
    for _, region in found.groupby("from"):
        assert region["allowed"].is_monotonic_decreasing
    assert found.loc[found["allowed"] & (found["from"] == 1080), "group"].tolist() == [
        "carbonate CO3"
    ]
    nothing = bands.explain([], "CaCO_3_")
    assert len(nothing) == 0 and list(nothing) == list(found)


@pytest.mark.parametrize("region", [(1, 2, 3), "here", (500, 400), np.nan, (400, np.inf)])
def test_what_is_no_region_is_answered_with_one_sentence(region):
    with pytest.raises(ValueError, match=r"give a (position|Raman shift) in cm⁻¹"):
        bands.explain([region], "CaCO_3_")


# Agreement, and what it would be by chance

TWO = pd.DataFrame(
    [("a", 100, 200, "Ca", ""), ("b", 300, 400, "O", "")],
    columns=["group", "low", "high", "needs", "without"],
)


def test_agreement_by_hand():
    positions = {"lime": [150, 350, 500, 160], "oldhamite": [150], "zincite": [150, 350]}
    formulas = {"lime": "CaO", "oldhamite": "CaS", "zincite": "ZnO", "halite": "NaCl"}
    found, permuted = bands.agreement(positions, formulas, TWO, permutations=50)
    expected = pd.DataFrame(
        {
            "positions": [4, 1, 2],
            "covers": [3 / 4, 1, 1],
            "fits": [3 / 4, 1, 1 / 2],
            # lime's with CaS 2/4, with ZnO 1/4; oldhamite's 1 and 0; zincite's 1 and 1/2
            "chance": [3 / 8, 1 / 2, 3 / 4],
        },
        index=pd.Index(["lime", "oldhamite", "zincite"], name="mineral"),
    )
    pd.testing.assert_frame_equal(found, expected)
    # Of three minerals there are two cycles: each takes the next one's formula, or the last one's.
    cycles = [(1 / 2 + 0 + 1) / 3, (1 / 4 + 1 + 1 / 2) / 3]
    np.testing.assert_allclose(np.unique(permuted.round(12)), np.round(cycles, 12))


def test_agreement_permutes_by_its_seed():
    positions = {mineral: [600 + 10 * i] for i, mineral in enumerate(FORMULAS.index[:40])}
    first, second, other = (
        bands.agreement(positions, FORMULAS, permutations=20, seed=seed)[1] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_textbook_bands_agree_far_better_than_chance():
    positions = {"Calcite": [1085], "Gypsum": [1008], "Quartz": [464], "Zircon": [1008]}
    positions |= {"Fluorapatite": [964], "Vanadinite": [827], "Diamond": [1332], "Pyrite": [343]}
    found, permuted = bands.agreement(positions, FORMULAS)
    assert (found["fits"] == 1).all()
    assert permuted.mean() < 0.6
    assert permuted.max() < 1
    assert found["chance"].mean() == pytest.approx(permuted.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("positions", "sentence"),
    [
        ({"Calcite": [1085]}, "give two or more"),
        ({"Calcite": [1085], "Unobtainium": [400]}, "no formula for Unobtainium"),
        ({"Calcite": [1085], "Quartz": []}, "Quartz has no positions"),
        ({"Calcite": [1085], "Quartz": [np.nan]}, "Quartz has no positions, or one"),
    ],
)
def test_what_agreement_cannot_measure_is_answered_with_one_sentence(positions, sentence):
    with pytest.raises(ValueError, match=sentence):
        bands.agreement(positions, FORMULAS)
