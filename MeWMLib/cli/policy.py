"""The commands of the policy: rules."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import InputError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.explain import NOT_KNOWN, SILENT, TOUCHED, Explained, explain
from MeWMLib.policy.rules import FORBIDDEN, RULES_PATH, load_rules


def rules(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm rules check PROTOCOL` and `mewm rules list`.

    Returns:
        0, or 2 if a rule forbids the protocol.
    """
    own = Path(arguments.rules).expanduser() if arguments.rules else RULES_PATH
    if arguments.action == "list":
        return _list(own, output)
    if not arguments.protocol:
        raise InputError(what="No protocol was given", remedy='Write `mewm rules check "Cisplatin + Lipiodol"`')
    protocol = Protocol.parse(arguments.protocol)
    clinical = Clinical.load(Path(arguments.clinical)) if arguments.clinical else Clinical()
    found = explain(protocol, clinical, not arguments.partial, load_rules(own))
    forbidden = any(e.state == TOUCHED and e.severity == FORBIDDEN for e in found)
    data = {"protocol": protocol.text, "allowed": not forbidden, "rules": [e.to_json() for e in found]}
    if not output.json(data):
        _explain(protocol, found, forbidden, output)
    return 2 if forbidden else 0


def _explain(protocol: Protocol, found: tuple[Explained, ...], forbidden: bool, output: Output) -> None:
    output.result(f"{protocol.text}: {'not allowed' if forbidden else 'allowed'}.")
    for entry in (e for e in found if e.state == TOUCHED):
        output.result(f"  {entry.severity}: {entry.reason} [{entry.rule}]")
        output.result(f"    source: {entry.source}")
    missing: dict[str, list[str]] = {}
    for entry in (e for e in found if e.state == NOT_KNOWN):
        missing.setdefault(entry.field, []).append(entry.rule)
    for field, names in missing.items():
        output.result(f"  not asked, since {field} is not known: {', '.join(names)}")
    silent = [e.rule for e in found if e.state == SILENT]
    output.result(f"  nothing to say: {', '.join(silent) or 'none'}")
    output.result("Research use only.")


def _list(path: Path, output: Output) -> int:
    loaded = load_rules(path)
    rows: list[dict[str, Any]] = [
        {"rule": r.id, "severity": r.severity, "reason": r.reason, "source": r.source, "needs_review": r.needs_review}
        for r in loaded
    ]
    if output.json(rows):
        return 0
    table = Table(title=f"Clinical rules ({path.name})")
    for title in ("Rule", "Severity"):
        table.add_column(title, no_wrap=True)
    table.add_column("Reason and source", overflow="fold")
    for row in rows:
        output.row(table, row["rule"], row["severity"], f"{row['reason']}\n{row['source']}")
    output.table(table)
    return 0
