"""The commands of the policy: rules, reports and endpoints of language models."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import EndpointConsentError, InputError, UnreadableFileError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.io import atomic_path
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.core.records import to_plain
from MeWMLib.policy.explain import NOT_KNOWN, SILENT, TOUCHED, Explained, explain
from MeWMLib.policy.llm import cache, privacy, report_reader
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import ENDPOINTS_FILE, Endpoint, find_endpoint, known_endpoints
from MeWMLib.policy.reports import parse_report
from MeWMLib.policy.rules import FORBIDDEN, RULES_PATH, check, load_rules

#: An operation report is some pages at most.
_MOST_BYTES = 100_000


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
    data = {"protocol": protocol.text, "allowed": not forbidden, "rules": to_plain(found)}
    if not output.json(data):
        _explain(protocol, found, forbidden, output)
    return 2 if forbidden else 0


def report(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm report parse FILE`: an operation report to a protocol."""
    text = _read_text(arguments.file)
    found = parse_report(text)
    data = found.to_json()
    findings = check(found.protocol) if found.protocol.actions else ()
    if arguments.endpoint:
        client = ChatClient(find_endpoint(arguments.endpoint))
        if arguments.preview:
            _write_preview(report_reader.request(client, text), arguments.preview, output)
            return 0
        second = report_reader.second_reading(client, text)
        data["second_reading"] = second.report.to_json() | {"by": arguments.endpoint}
        data["differences"] = list(second.differences)
    data["rules"] = [{"rule": f.rule, "severity": f.severity, "reason": f.reason} for f in findings]
    if not output.json(data):
        _report(data, output)
    return 0


def _read_text(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read()
        data = Path(name).expanduser().read_bytes()
        if len(data) > _MOST_BYTES:
            raise UnreadableFileError(
                what="This is too long for one operation report",
                given=f"{name}, {len(data)} bytes",
                remedy=f"Give one report of at most {_MOST_BYTES} bytes",
            )
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            what="The report cannot be read", given=f"{name} ({error})", remedy="Give a text file in UTF-8, or -"
        ) from error


def _report(data: dict[str, Any], output: Output) -> None:
    output.result(f"Protocol: {data['protocol'] or 'no agent was found'}")
    for given in data["administrations"]:
        unit = agent(given["agent"]).dose_unit
        dose = "dose not stated" if given["dose"] is None else f"{given['dose']:g} {unit}"
        output.result(f"  {given['agent']}, {dose}, {given['route'] or 'route not stated'}: {given['text']}")
    if data["excluded"]:
        output.result(f"Named as not given: {', '.join(data['excluded'])}")
    level = data["attenuation_level"]
    output.result(f"Attenuation level: {'not stated' if level is None else f'{level} of 4: ' + data['outcome']}")
    for note in data["notes"]:
        output.result(f"  not certain: {note}")
    if "differences" in data:
        differences = data["differences"]
        output.result(f"{data['second_reading']['by']} {'differs:' if differences else 'reads the same.'}")
        for difference in differences:
            output.result(f"  {difference}")
    for found in data["rules"]:
        output.result(f"  {found['severity']}: {found['reason']} [{found['rule']}]")
    output.result("Research use only. Read the report itself before you rely on this.")


def endpoint(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm endpoint list|allow|revoke|audit|forget`."""
    if arguments.action == "list":
        return _list_endpoints(output)
    if arguments.action == "audit":
        lines = privacy.read_audit()
        if not output.json(lines):
            for line in lines:
                output.result(f"{line['time']}  {line['endpoint']}  {line['bytes']} bytes  {line['outcome']}")
            output.result(f"{len(lines)} requests were sent. The file: {data_folder() / privacy.AUDIT_FILE}")
        return 0
    if arguments.action == "forget":
        count = cache.forget()
        if not output.json({"forgotten": count}):
            output.result(f"Removed {count} stored answers.")
        return 0
    if not arguments.name:
        raise InputError(what=f"`mewm endpoint {arguments.action}` needs a name", remedy="See `mewm endpoint list`")
    found = find_endpoint(arguments.name)
    if arguments.action == "revoke":
        had = privacy.revoke(found)
        if not output.json({"revoked": had}):
            output.result("Taken back." if had else "There was no consent.")
        return 0
    _agree(found, arguments.yes, output)
    if not output.json({"allowed": found.identity}):
        output.result(f"Agreed: {found.name}. Take it back with `mewm endpoint revoke {found.name}`.")
    return 0


def _agree(found: Endpoint, yes: bool, output: Output) -> None:
    where = "on this computer" if found.is_loopback else "on the internet or your network"
    output.notice(
        f"{found.name} is {found.url}, model {found.model}, {where}. With each proposal it is sent: measured sizes and "
        f"densities, the clinical data and the goal that you give"
        + (", and some slices of the CT as pictures" if found.images else "")
        + ". Names, ids, dates, DICOM headers and places in space are not sent. Look at a request first with "
        "--preview. You answer for whether your hospital and the law allow it."
    )
    if yes:
        privacy.grant(found)
        return
    refused = EndpointConsentError(
        what="Nobody has agreed; nothing was changed", given=found.name, remedy="Answer y, or give --yes"
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise refused
    output.notice("Agree? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise refused
    privacy.grant(found)


def _list_endpoints(output: Output) -> int:
    agreed = privacy.consents()
    rows = [to_plain(e) | {"allowed": e.identity in agreed} for e in known_endpoints().values()]
    if output.json(rows):
        return 0
    table = Table(title="Endpoints of language models")
    for title in ("Name", "Allowed", "Pictures", "Key"):
        table.add_column(title, no_wrap=True)
    table.add_column("Address and model", overflow="fold")
    for row in rows:
        cells = (row["name"], "yes" if row["allowed"] else "no", "yes" if row["images"] else "no")
        output.row(table, *cells, row["key_variable"] or "none", f"{row['url']} {row['model']}")
    output.table(table)
    output.result(f"Your own: {data_folder() / ENDPOINTS_FILE}")
    return 0


def _write_preview(data: bytes, name: str, output: Output) -> None:
    with atomic_path(Path(name).expanduser()) as temporary:
        temporary.write_bytes(data)
    if not output.json({"preview": name, "bytes": len(data)}):
        output.result(f"Nothing was sent. What would be sent ({len(data)} bytes): {name}")


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
