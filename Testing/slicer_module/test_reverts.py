"""The table of mends fits the tree; `make reverts` tries them (minutes)."""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("mewm_reverts", Path(__file__).with_name("reverts.py"))
assert _SPEC is not None and _SPEC.loader is not None
reverts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reverts)
MENDS = reverts.load_mends().MENDS


def test_each_mend_is_where_the_table_says_and_has_tests():
    known, wrong = {}, []
    for mend in MENDS:
        try:
            files = reverts.without(mend, reverts.REPOSITORY)
        except (ValueError, SyntaxError) as error:
            wrong.append(str(error))
            continue
        assert files and all(text != path.read_text(encoding="utf-8") for path, text in files.items() if path.is_file())
        assert mend.tests
        for test in mend.tests:
            file, name = test.partition("[")[0].split("::")
            if file not in known:
                tree = ast.parse((reverts.REPOSITORY / file).read_text(encoding="utf-8"))
                known[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            if name not in known[file]:
                wrong.append(f"{mend.clause}: there is no test {test}")
    assert not wrong, "\n".join(wrong)


def test_every_item_has_its_mends_and_no_clause_is_there_twice():
    assert {mend.clause.split()[0] for mend in MENDS} == set("123456789")
    assert max(Counter(mend.clause for mend in MENDS).values()) == 1


def test_a_text_that_is_gone_is_complained_of(tmp_path):
    for name in ("MeWM", "MeWM/MeWMPanels"):
        (tmp_path / name).mkdir()
    for mend in MENDS:
        if all(edit.old for edit in mend.edits):
            for edit in mend.edits:
                (tmp_path / edit.file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / edit.file).write_text("something else\n")
            with pytest.raises(ValueError, match="0 times"):
                reverts.without(mend, tmp_path)
