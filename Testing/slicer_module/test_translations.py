"""What translators get: whole sentences, by Slicer's tool chain; and the panels in Spanish."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SPANISH = REPOSITORY / "Resources" / "Translations" / "MeWM_es-ES.ts"


def _tools() -> Any:
    spec = importlib.util.spec_from_file_location("mewm_translations", Path(__file__).with_name("translations.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = _tools()


def faults(source: str) -> list[str]:
    """What in a Python file a translator could not translate, or only in pieces."""
    found = []
    tree = ast.parse(source)
    marked = {id(call) for call in tools.calls(tree)}
    for call in tools.calls(tree):
        argument = call.args[0] if len(call.args) == 1 and not call.keywords else None
        if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
            found.append(f"{call.lineno}: not one literal")
            continue
        text = argument.value
        if text != text.strip() or not text.strip(string.punctuation + " "):
            found.append(f"{call.lineno}: {text!r} is part of something")
        elif text[0] in ",.;:)" or text.endswith((":", ",", "(", " =")):
            found.append(f"{call.lineno}: {text!r} is a fragment")
        elif any(name is not None and not name.isidentifier() for _t, name, *_r in string.Formatter().parse(text)):
            found.append(f"{call.lineno}: {text!r} has a field without a name")
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            parts = [node.left, node.right]
        elif isinstance(node, ast.AugAssign):
            parts = [node.value]
        elif isinstance(node, ast.FormattedValue):
            parts = list(ast.walk(node))
        found += [f"{node.lineno}: joined to something" for part in parts if id(part) in marked]
    return found


def test_the_check_knows_fragments():
    bad = (
        '_("Done:") + f" {n}"', 'f"{x} {_(\'left\')}"', "_(title)", '_(f"{n} left")', '_(" and")', '_(", stopped")',
        'text += _("More.")', '_("{} left")', '_("{0} left")', '"a" + _("b")', '_("a", "b")', '_("Found:")', '_("...")',
        '_("%s left") % n',
    )  # fmt: skip
    for source in bad:
        assert faults(source), source
    for source in ('_("{n} left").format(n=1)', 'sentences(_("One."), _("Two."))', '_("a "\n  "b")'):
        assert not faults(source), source


@pytest.mark.parametrize("file", [f for f in tools.files() if f.suffix == ".py"], ids=lambda f: f.stem)
def test_texts_are_whole_sentences_in_literals(file):
    assert faults(file.read_text(encoding="utf-8")) == []


def test_the_spanish_translation_is_complete(tmp_path):
    """Qt's own lupdate finds the same texts as our reading of the sources, and nothing that is not translated."""
    pytest.importorskip("PySide6", reason="PySide6 brings lupdate")
    copy = tmp_path / SPANISH.name
    shutil.copy(SPANISH, copy)
    tools.update(tmp_path)
    found = tools.messages(copy)
    assert set(found) == tools.extracted() and len(found) > 500
    assert found == tools.messages(SPANISH), "run Testing/slicer_module/translations.py, then translate what is new"
    tags = re.compile(r"</?\w+>")
    for (_context, text), (translation, state) in found.items():
        assert translation and state == "", text
        assert tools.placeholders(text) == tools.placeholders(translation), text
        assert sorted(tags.findall(text)) == sorted(tags.findall(translation)), text
        assert text.count("&") == translation.count("&"), text
    # nobody has read them yet
    assert SPANISH.read_text(encoding="utf-8").count("machine-made, not read by a person") == len(found)


def test_the_words_of_the_library_are_those_of_its_tables(host, monkeypatch):
    """They are written out in the panels once more, since tools for translators find literals only."""
    host.start()
    monkeypatch.syspath_prepend(str(REPOSITORY / "MeWM"))
    from MeWMPanels import clinical_words, samples, words

    from MeWMLib.core.clinical import field_table
    from MeWMLib.jobs.table import KINDS, STAGES

    told = clinical_words.words()
    assert list(told) == list(field_table())
    for name, info in field_table().items():
        title, tip = told[name]
        assert title.casefold() == info.title.casefold() and tip == info.help
    for name, kind in KINDS.items():
        assert words.job_title(name) == kind.title
        for stage in {**STAGES, **kind.stages}:
            assert words.stage_title(name, stage) == kind.stage_title(stage)
    assert all(words.stage_title("", stage) == title for stage, title in STAGES.items())
    assert all(words.sample_title(name, "?") == title for name, title in samples.TITLES.items())


@pytest.fixture
def spanish(host, tmp_path):
    """The translation, compiled and installed before the module is opened."""
    from PySide6 import QtCore

    compiled = tmp_path / "MeWM_es-ES.qm"
    lrelease = shutil.which("pyside6-lrelease", path=str(Path(sys.executable).parent)) or "pyside6-lrelease"
    subprocess.run([lrelease, str(SPANISH), "-qm", str(compiled)], check=True, stdout=subprocess.DEVNULL)
    translator = QtCore.QTranslator()
    assert translator.load(str(compiled))
    app = host.start()
    app.installTranslator(translator)
    yield
    app.removeTranslator(translator)


def test_the_panels_speak_spanish(spanish, user, sample):
    from PySide6 import QtWidgets

    user.load_sample()
    user.click("planning", "planButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    found = tools.messages(SPANISH)
    english = {text for (_c, text), (translation, _s) in found.items() if translation != text and "{" not in text}
    shown = []
    for panel in user.front.panels:
        for kind in (QtWidgets.QLabel, QtWidgets.QAbstractButton):
            shown += [widget.text for widget in panel.widget.findChildren(kind) if widget.text]
    assert [text for text in shown if text in english] == []
    assert "&Planificar para esta TC" in shown and "Diámetro mm" == _header(user, 1)
    assert "Mediana de supervivencia predicha:" in user.widget("outcome", "detailsLabel").text
    assert user.front.parameters.ct is not None and user.front.actions.named[0][0] == "Sugerido 1"
    # names of parameters are no texts
    assert user.front.patient.ui.ctSelector.property("SlicerParameterName") == "ct"


def _header(user: Any, column: int) -> str:
    return str(user.widget("segmentation", "findingsTable").horizontalHeaderItem(column).text())
