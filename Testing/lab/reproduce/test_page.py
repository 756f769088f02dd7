"""The page of `mewm reproduce`: cells with their n, the paper's numbers, what follows by rule from the numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from MeWMLib.lab.reproduce import page_tables
from MeWMLib.lab.reproduce.page import agents_in_words, all_of, notes, rounded, sentence
from MeWMLib.lab.reproduce.page_tables import Table, figure, paper_numbers, table_of
from MeWMLib.lab.reproduce.summary import summary
from MeWMLib.lab.reproduce.tables import PAPER

PAPERS: dict[str, Any] = json.loads(PAPER.read_text(encoding="utf-8"))


def of(mean: float, low: float, high: float, n: int = 40) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high, "n": n}


def cells(table: Table, row: str) -> dict[str, page_tables.Cell]:
    found = next(r for r in table.rows if r.name == row)
    return {column.head: cell for column, cell in zip(table.columns, found.cells, strict=True)}


def result(**more: Any) -> dict[str, Any]:
    """What a run of 40 drawn patients found, 12 of them searched with the assistant."""
    assistant = {"f1": of(63.8, 49.9, 72.9, 12)}
    found = {
        "about": {"patients": 40}, "paper": PAPERS, "paper_set": "in-house",
        "table1": {"rows": {
            "mewm": {
                "fid": of(0.68, 0.49, 0.87), "mae_ratio": of(1.17, 1.09, 1.24), "mae_8mm_ratio": of(0.91, 0.83, 0.996),
            },
            "copy_pre": {"fid": of(0.96, 0.67, 1.16)}, "pixel2cancer": {"fid": of(0.39, 0.27, 0.54)},
        }},
        "table2": {
            "rows": {
                "mewm": {"f1": of(59.2, 53.7, 64.4), "regret": of(0.075, 0.046, 0.107)}, "mewm_assistant": assistant,
            },
            "differences": {
                "frequency_prior - mewm": {"f1": of(17.9, 11.0, 24.0)}, "constant - mewm": {"f1": of(5.2, -1.0, 12.4)},
                "mewm - random_in_space": {"regret": of(-0.313, -0.383, -0.248)},
                "mewm_assistant - mewm": {"f1": of(2.1, -7.1, 11.0, 12)},
            },
            "same_choices": [["mewm_best_first", "mewm_exhaustive"]],
        },
        "table3": {
            "rows": {}, "differences": {"no_assistant - mewm_assistant": {"f1": of(-4.5, -12.8, 4.2, 12)}},
            "pairs": {"no_assistant": {"mewm_assistant": assistant, "no_assistant": {"f1": of(59.3, 45.2, 70.8, 12)}}},
        },
        "figures": {"rows": {"mewm": {"c_index": of(0.57, 0.43, 0.69)}}},
        "virtual": {
            "rows": {"clinical": {"c_index": of(0.6, 0.47, 0.72)}}, "covariates": {"clinical": ["procedure.drugs"]},
            "differences": {"virtual - clinical": {"c_index": of(0.018, -0.017, 0.054)}},
        },
        "response": {"rows": {
            "mewm": {"auc": of(0.43, 0.2, 0.69)}, "mewm_scan_after": {"auc": of(0.44, 0.21, 0.67)},
            "outline_after": {"auc": of(0.96, 0.88, 1.0)},
        }},
    }  # fmt: skip
    return found | more


def test_figures_as_text() -> None:
    assert figure({"mean": 1.234, "low": 1.0, "high": 2.0, "n": 5}, 1) == "1.2 (1.0 to 2.0)"
    assert figure({"mean": 1.234, "low": 1.0, "high": 2.0, "n": 1}, 2) == "1.23"
    assert figure({"mean": None}) == figure(None) == "-" and figure(of(-0.001, -0.001, -0.001), 1) == "0.0"


def test_a_cell_says_its_own_n_and_is_blank_where_too_few_are_left() -> None:
    rows = {
        "mewm": {"lipiodol_map_r": of(0.29, 0.22, 0.36, 36), "lipiodol_error_ml": of(13.9, 7.5, 21.2)},
        "copy_pre": {"lipiodol_map_r": of(0.43, 0.12, 1.0, 3), "lipiodol_error_ml": of(21.8, 12.5, 32.8)},
        "few": {"lipiodol_map_r": of(0.43, 0.12, 1.0, 3), "lipiodol_error_ml": of(21.8, 12.5, 32.8, 3)},
    }
    table = table_of(rows, page_tables.LIPIODOL)
    some, none, all_few = (cells(table, row)["r of Lipiodol maps"] for row in rows)
    assert (some.mean, some.between, some.note) == ("0.29", "0.22 to 0.36", "n 36")
    assert (none.mean, none.between, none.note) == ("", "", "n 3") and table.blank
    # a run of three patients has nothing else to show
    assert all_few.mean == "0.43" and not all_few.note
    assert not table_of({"mewm": rows["mewm"]}, page_tables.LIPIODOL).blank


def test_every_number_of_the_paper_stands_in_its_cell_also_of_rows_that_were_not_run() -> None:
    tables = all_of(result())
    for name, heads in (("images", {"fid": "FID", "lpips": "LPIPS"}), ("plans", {"f1": "F1", "recall": "recall"})):
        paper = paper_numbers(PAPERS, "in-house")["table1" if name == "images" else "table2"]
        for row, numbers in paper.items():
            for metric, head in heads.items():
                assert float(cells(tables[name], row)[head].cited.removeprefix("paper ")) == numbers[metric], (
                    row,
                    metric,
                )
    absent = {r.name for r in tables["plans"].rows if r.n == "not run"}
    assert {"no_ccl", "no_assistant", "gpt-4o", "physician_with", "huatuogpt-vision"} <= absent
    # Algorithm 1 as printed is the paper's model, in both tables
    assert cells(tables["plans"], "mewm_assistant")["F1"].cited == "paper 52.38"
    assert cells(tables["ablations"], "mewm_assistant")["F1"].cited == "paper 52.38"
    assert cells(tables["plans"], "mewm")["F1"].cited == ""
    assert cells(tables["survival"], "mewm")["C-index"].cited == "paper 0.752"
    assert cells(tables["virtual"], "virtual")["C-index"].cited == "RadWorld 0.727"
    assert PAPERS["figure5"]["source"] == "HCC-TACE-Seg"


def test_table_3_holds_each_ablation_and_its_full_row_on_the_same_patients() -> None:
    rows = [(r.name, r.n) for r in all_of(result())["ablations"].rows]
    assert rows[:3] == [("mewm_assistant", "12"), ("no_assistant", "12"), ("no_assistant - mewm_assistant", "12")]
    assert ("no_ccl", "not run") in rows


def test_covariates_that_are_procedural_alone_are_named_so() -> None:
    def words(covariates: list[str]) -> str:
        virtual = result()["virtual"] | {"covariates": {"clinical": covariates}}
        return next(r.words for r in all_of(result(virtual=virtual))["virtual"].rows if r.name == "clinical")

    assert "no clinical data" in words(["procedure.drugs"]) and "no clinical data" not in words(["clinical.age_years"])


def test_notes_follow_from_the_numbers() -> None:
    found = notes(result())
    said = " ".join(found["plans"])
    assert "mewm_best_first and mewm_exhaustive chose the same" in said
    assert "first 12 of 40 patients (--assistant-patients)" in said and "2.1 (-7.1 to 11.0)" in said
    assert "0.44 (0.21 to 0.67)" in found["response"][0] and "0.96 (0.88 to 1.00)" in found["response"][0]
    seen = result(response={"rows": {"mewm_scan_after": {"auc": of(0.9, 0.8, 0.97)}}})
    assert not notes(seen)["response"]


def test_the_summary_says_who_is_ahead_and_what_is_open() -> None:
    lines = summary(result())
    assert 3 <= len(lines) <= 6
    text = " ".join(lines)
    assert "the lowest has Pixel2Cancer" in text and "1.170 (1.090 to 1.240) times that of the copy, more" in text
    assert "the constant plan is not told apart" in text and "other patients agrees better" in text
    assert "less than that of any protocol" in text
    open_ = lines[-1]
    for words in ("the FID of samples and copy", "constant plan", "with and without the assistant", "response"):
        assert words in open_
    assert "frequency prior" not in open_
    # the other way round, by the same rules
    other = result()
    other["table1"]["rows"]["mewm"] = {"fid": of(0.2, 0.1, 0.3), "mae_ratio": of(0.8, 0.7, 0.9)}
    other["table2"]["differences"]["constant - mewm"]["f1"] = of(-5.0, -9.0, -1.0)
    text = " ".join(summary(other))
    assert "times that of the copy, less" in text and "the constant plan agrees less" in text
    assert "whose intervals overlap" not in text and "the lowest has" not in text
    # of few patients nothing is claimed, of a row or of the run
    other["table1"]["rows"]["mewm"] = {"mae_ratio": of(1.36, 1.26, 1.44, 3)}
    assert "times that of the copy" not in " ".join(summary(other))
    few = summary(result(about={"patients": 3}))
    assert len(few) == 1 and "nothing is compared" in few[0]
    assert summary(result(table1={"rows": {}}, table2={}, table3={}, virtual={}, response={})) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("not opened", "Not opened."), ("clinical_cox is gone", "clinical_cox is gone."), ("Done.", "Done."), ("", "")],
)
def test_gaps_are_sentences(text: str, expected: str) -> None:
    assert sentence(text) == expected


def test_doses_are_rounded_and_agents_in_capitals_are_explained() -> None:
    text = "Epirubicin 31.5866 mg + Lipiodol + KMG 5.58059 ml"
    assert rounded(text) == "Epirubicin 31.6 mg + Lipiodol + KMG 5.58 ml"
    assert agents_in_words([text, ""]) == {"KMG": "KMG gelatin sponge microspheres, particle, in ml"}
