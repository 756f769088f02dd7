"""docs/RULES.md lists the clinical rules. `python Testing/policy/test_rules_page.py` writes the list."""

from __future__ import annotations

import re
from pathlib import Path

from MeWMLib.policy.rules import load_rules

PAGE = Path(__file__).resolve().parents[2] / "docs" / "RULES.md"
_LIST = re.compile(r"(<!-- rules -->\n).*?(<!-- /rules -->)", re.DOTALL)


def _with_rules(text: str) -> str:
    rows = [f"| `{r.id}` | {r.severity} | {r.reason} | {r.source} |" for r in load_rules()]
    table = "\n".join(["| rule | severity | reason | source |", "|---|---|---|---|", *rows])
    return _LIST.sub(lambda m: f"{m[1]}{table}\n{m[2]}", text)


def test_the_page_lists_the_rules_and_says_how_to_review_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == _with_rules(text), "run python Testing/policy/test_rules_page.py"
    assert "No physician has reviewed these rules yet" in text and "How to review a rule" in text


if __name__ == "__main__":
    PAGE.write_text(_with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
