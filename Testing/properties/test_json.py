"""Every JSON file and message, damaged in a thousand ways: refused by one of MeWM's errors or taken, no traceback."""

from __future__ import annotations

import ast
import zlib

import pytest

from MeWMLib.core.errors import MeWMError
from Testing.properties.json_damage import mutants
from Testing.properties.json_kinds import kinds

COUNT = 80
NAMES = (
    "job", "job file", "event", "upload", "plan", "manifest", "dynamics part", "codec part", "survival part",
    "segmenter part", "rules", "clinical", "prior", "cohort", "nnU-Net", "training", "map training", "endpoints",
    "consents", "journal", "patient", "answer", "audit", "proposal", "report",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_damaged_json_is_refused_or_taken(name, tiny_bundle, small_bundle, tmp_path):
    (kind,) = (one for one in kinds(tiny_bundle, small_bundle) if one.name == name)
    kind.read(kind.text.encode(), tmp_path / "good")
    refused = 0
    for n, (data, may) in enumerate(mutants(kind.text, zlib.crc32(name.encode()), COUNT)):
        folder = tmp_path / str(n)
        folder.mkdir()
        try:
            kind.read(data, folder)
        except MeWMError as error:
            refused += 1
            assert error.what and str(error).isprintable() or "\n" in str(error), "what is said can be printed"
        except Exception as error:
            raise AssertionError(f"{name}, mutant {n}: {data[:2000]!r}") from error
        else:
            assert may or not kind.strict, f"{name}, mutant {n} is no strict JSON: {data[:2000]!r}"
    assert refused >= COUNT // 5 or not kind.strict


def test_every_kind_is_tried(tiny_bundle, small_bundle):
    assert [kind.name for kind in kinds(tiny_bundle, small_bundle)] == list(NAMES)


def test_json_is_parsed_in_one_place_only(repository):
    """`json.load`, `json.loads` and `JSONDecoder` outside of core/records.py would go around its limits."""
    found = set()
    for folder in ("MeWMLib", "MeWM"):
        for path in sorted((repository / folder).rglob("*.py")):
            if any(map(_parses, ast.walk(ast.parse(path.read_text(encoding="utf-8"))))):
                found.add(path.relative_to(repository).as_posix())
    # what confines a worker runs before anything can be imported, on rules that the server itself wrote
    assert found == {"MeWMLib/core/records.py", "MeWMLib/jobs/confine.py"}


def _parses(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in ("json", "orjson", "simplejson")
    if not isinstance(node, ast.Attribute):
        return False
    of_json = isinstance(node.value, ast.Name) and node.value.id in ("json", "orjson", "simplejson")
    return node.attr == "JSONDecoder" or (of_json and node.attr in ("load", "loads"))
