"""Figures of the documents: they are those of Resources/Results, and of the bundle that ships."""

import json
import shutil
from pathlib import Path

import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.lab.figures import DOCUMENTS, ROOT, Figures, main, problems

RESULT = {
    "cohort": "made up",
    "stamp": {
        "bundle": {"name": "small", "version": "2", "sha256": "ab"},
        "command": "mewm evaluate made-up", "date": "2026-01-02", "mewm": "0.1", "seed": 0, "device": None,
        "patients": 9, "notes": {"device": "not recorded"},
    },
    "rows": {
        "mewm": {"error": {"mean": 1.25, "low": 1, "high": 2, "n": 9}, "found": {"mean": 0.5}},
        "none": {"error": {"mean": 4.0, "low": 3.5, "high": 4.5, "n": 9}},
    },
}  # fmt: skip
TABLES = {
    "made-up": {
        "header": ["row", "error", "found"],
        "cells": ["{made-up @ error .2f}", "{made-up @ found .0%}"],
        "rows": [["**ours**", "@mewm"], ["none", "@none"], ["both", "{made-up mewm error .1f:mean} + 1", "-"]],
    }
}
DOCUMENT = """# Made up

Error <!-- figure: made-up mewm error .3g -->old<!-- /figure --> mm.

<!-- figures: made-up -->
old
<!-- /figures -->
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository with one result, one table and one document."""
    for name, data in (("made-up", RESULT), ("tables", TABLES)):
        path = tmp_path / "Resources" / "Results" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data), encoding="utf-8")
    manifest = tmp_path / "Resources" / "Bundles" / "mewm-small" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    parts = {name: {"sha256": name * 2} for name in ("dynamics", "survival")}
    manifest.write_text(json.dumps({"version": "2", "parts": parts}), encoding="utf-8")
    (tmp_path / "README.md").write_text(DOCUMENT, encoding="utf-8")
    return tmp_path


def change(root: Path, **stamp: object) -> None:
    """Write the result again with another stamp."""
    data = {**RESULT, "stamp": {**RESULT["stamp"], **stamp}}
    (root / "Resources/Results/made-up.json").write_text(json.dumps(data), encoding="utf-8")


def test_the_documents_show_the_results_of_the_shipped_bundle() -> None:
    """Figures and tables of README, docs and card are those of the JSON files, and name their version if it is old."""
    assert problems() == []


def test_main_documents_take_their_figures_from_results() -> None:
    for name in ("README.md", "Resources/Bundles/mewm-small/MODEL_CARD.md", "docs/PLANNING.md", "docs/SURVIVAL.md"):
        assert "<!-- figures: " in (ROOT / name).read_text(encoding="utf-8"), name


def test_tables_and_sentences_are_filled_in(root: Path) -> None:
    assert main(["--root", str(root)]) == 0
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "Error <!-- figure: made-up mewm error .3g -->1.25 (1 to 2)<!-- /figure --> mm." in text
    want = (
        "| row | error | found |\n|---|---|---|\n| **ours** | 1.25 (1.00 to 2.00) | 50 % |\n"
        "| none | 4.00 (3.50 to 4.50) |  |\n| both | 1.2 + 1 | - |\n"
    )
    assert want in text
    assert main(["--root", str(root), "--check"]) == 0 and (root / "README.md").read_text(encoding="utf-8") == text


def test_a_changed_number_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a copy of the real files: one figure is changed, and the check names the documents that show it."""
    for pattern in (*DOCUMENTS, "Resources/Results/*.json", "Resources/Bundles/mewm-small/manifest.json"):
        for path in ROOT.glob(pattern):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    assert problems(tmp_path) == []
    path = tmp_path / "Resources/Results/planning.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["rows"]["best_first"]["regret"]["mean"] += 0.001
    path.write_text(json.dumps(data), encoding="utf-8")
    shown = ["README.md", "docs/PLANNING.md", "docs/concepts/not-to-believe.md"]
    assert [Path(p.split(":")[0]).as_posix() for p in problems(tmp_path)] == shown
    assert main(["--root", str(tmp_path), "--check"]) == 1 and "docs/PLANNING.md" in capsys.readouterr().err


def test_figures_of_another_version_must_say_so(root: Path) -> None:
    main(["--root", str(root)])
    change(root, bundle={"name": "small", "version": "1", "sha256": "cd"})
    found = problems(root)
    assert len(found) == 5 and all("version 1, and the text does not say so" in p for p in found)
    text = (root / "README.md").read_text(encoding="utf-8")
    marked = text.replace("Error", "With version 1, error").replace(
        "<!-- figures", "Weights of version 1:\n\n<!-- figures"
    )
    (root / "README.md").write_text(marked, encoding="utf-8")
    assert problems(root) == []
    (root / "README.md").write_text(marked.replace("version 1", "version 11"), encoding="utf-8")
    assert len(problems(root)) == 5


def test_a_result_stays_valid_while_its_parts_ship(root: Path) -> None:
    main(["--root", str(root)])
    change(root, bundle={"version": "1", "parts": {"survival": "survival" * 2}})
    assert problems(root) == []
    change(root, bundle={"version": "1", "parts": {"survival": "survival" * 2, "dynamics": "other"}})
    assert len(problems(root)) == 5
    change(root, bundle=None, notes={"bundle": "no bundle was used", "device": "not recorded"})
    assert problems(root) == []


def test_a_stamp_names_what_it_does_not_know(root: Path) -> None:
    main(["--root", str(root)])
    change(root, date=None)
    assert problems(root) == ["made-up.json: the stamp does not say date"]


def test_figures_that_are_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(root)
    for reference in ("made-up mewm speed .2f", "made-up nobody error .2f", "made-up mewm error .2q"):
        with pytest.raises(InputError, match=r"There is no such figure.*made-up\.json"):
            figures.figure(reference)
    with pytest.raises(InputError, match=r"There is no such table\. Given: other"):
        figures.table("other")
    with pytest.raises(InputError, match="A file of figures cannot be read"):
        figures.figure("other mewm error .2f")
    (root / "Resources/Results/made-up.json").write_text("{", encoding="utf-8")
    assert main(["--root", str(root)]) == 1 and "made-up.json" in capsys.readouterr().err
