"""The commands of the policy: rules, reports and endpoints of language models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from MeWMLib.cli.output import Output
from MeWMLib.core.allergens import is_known
from MeWMLib.core.errors import EndpointConsentError, InputError, UnreadableFileError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.io import atomic_path
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.core.records import to_plain
from MeWMLib.core.terminal import agreed
from MeWMLib.core.territory import Territory
from MeWMLib.policy import rules as clinical_rules
from MeWMLib.policy.llm import cache, privacy, report_reader
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import ENDPOINTS_FILE, Endpoint, find_endpoint, known_endpoints
from MeWMLib.policy.report_rules import rule_findings
from MeWMLib.policy.reports import parse_report

#: An operation report is a few pages at most.
_MOST_BYTES = 100_000


def rules(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm rules check PROTOCOL` and `mewm rules list`.

    Returns:
        0, or 2 if a rule forbids the protocol.
    """
    own = Path(arguments.rules).expanduser() if arguments.rules else clinical_rules.RULES_PATH
    if arguments.action == "list":
        return _list(own, output)
    if not arguments.protocol:
        raise InputError(what="No protocol was given", remedy='Write `mewm rules check "Cisplatin + Lipiodol"`')
    protocol = Protocol.parse(arguments.protocol)
    clinical = Clinical.load(Path(arguments.clinical)) if arguments.clinical else Clinical()
    found = clinical_rules.explain(protocol, clinical, not arguments.partial, clinical_rules.load_rules(own))
    forbidden = any(e.state == clinical_rules.TOUCHED and e.severity == clinical_rules.FORBIDDEN for e in found)
    data = {"protocol": protocol.text, "allowed": not forbidden, "rules": to_plain(found)}
    output.show(data, *_explain(protocol, found, forbidden, clinical))
    return 2 if forbidden else 0


def report(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm report parse FILE`: an operation report to a protocol."""
    text = _read_text(arguments.file)
    found = parse_report(text)
    data = found.to_json()
    findings, told = rule_findings(found)
    if arguments.endpoint:
        client = ChatClient(find_endpoint(arguments.endpoint))
        if arguments.preview:
            _write_preview(report_reader.request(client, text), arguments.preview, output)
            return 0
        second = report_reader.second_reading(client, text)
        data["second_reading"] = second.report.to_json() | {"by": arguments.endpoint}
        data["differences"] = list(second.differences)
    data["rules_told"] = list(told)
    data["rules"] = [{"rule": f.rule, "severity": f.severity, "reason": f.reason} for f in findings]
    output.show(data, *_report(data))
    return 0


def _read_text(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read()
        data = Path(name).expanduser().read_bytes()
        if len(data) > _MOST_BYTES:
            raise UnreadableFileError(
                what="This is too long for an operation report",
                given=f"{name}, {len(data)} bytes",
                remedy=f"Give one report of at most {_MOST_BYTES} bytes",
            )
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            what="The report cannot be read", given=f"{name} ({error})", remedy="Give a text file in UTF-8, or -"
        ) from error


def _report(data: dict[str, Any]) -> Iterable[str]:
    yield f"Protocol: {data['protocol'] or 'no agent was found'}{_doubts(data)}"
    for given in data["administrations"]:
        unit = agent(given["agent"]).dose_unit
        dose = "dose not stated" if given["dose"] is None else f"{given['dose']:g} {unit}"
        open_ = f", UNCERTAIN because of {given['uncertain']!r}" if given["uncertain"] else ""
        yield f"  {given['agent']}, {dose}{open_}, {given['route'] or 'route not stated'}: {given['text']}"
    yield f"Territory: {_territory(data)}"
    if data["excluded"]:
        yield f"Named as not given: {', '.join(data['excluded'])}"
    level = data["attenuation_level"]
    yield f"Attenuation level: {'not stated' if level is None else f'{level} of 4: ' + data['outcome']}"
    for unread in data["unread"]:
        yield f"  not read: {unread}"
    for note in data["notes"]:
        yield f"  not certain: {note}"
    if "differences" in data:
        yield f"{data['second_reading']['by']} {'differs:' if data['differences'] else 'reads the same.'}"
        yield from (f"  {difference}" for difference in data["differences"])
    yield from (f"  rules: {said}" for said in data["rules_told"])
    for found in data["rules"]:
        yield f"  {found['severity']}: {found['reason']} [{found['rule']}]"
    yield "Research use only. Read the report itself before you rely on this."


def _doubts(data: dict[str, Any]) -> str:
    """What of the protocol is not certain, for its headline."""
    doubts = [*data["uncertain"], *(["the territory"] if data["territory_uncertain"] else [])]
    unread = f"; NOT READ: {', '.join(data['unread_drugs'])}" if data["unread_drugs"] else ""
    return (f"; UNCERTAIN: {', '.join(doubts)}" if doubts else "") + unread


def _territory(data: dict[str, Any]) -> str:
    if data["territory"] is None:
        return "not stated"
    doubt = f", UNCERTAIN because of {data['territory_uncertain']!r}" if data["territory_uncertain"] else ""
    return f"{Territory.parse(data['territory']).described}{doubt}: {data['territory_text']}"


def endpoint(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm endpoint list|allow|revoke|audit|forget`."""
    if arguments.action == "list":
        _list_endpoints(output)
    elif arguments.action == "audit":
        lines = privacy.read_audit()
        shown = [f"{line['time']}  {line['endpoint']}  {line['bytes']} bytes  {line['outcome']}" for line in lines]
        output.show(lines, *shown, f"{len(lines)} requests were sent. The file: {data_folder() / privacy.AUDIT_FILE}")
    elif arguments.action == "forget":
        count = cache.forget()
        output.show({"forgotten": count}, f"Removed {count} stored answers.")
    elif not arguments.name:
        raise InputError(what=f"`mewm endpoint {arguments.action}` needs a name", remedy="See `mewm endpoint list`")
    elif arguments.action == "revoke":
        had = privacy.revoke(find_endpoint(arguments.name))
        output.show({"revoked": had}, "Withdrawn." if had else "There was no consent.")
    else:
        found = find_endpoint(arguments.name)
        _agree(found, arguments.yes, output)
        undo = f"Withdraw with `mewm endpoint revoke {found.name}`"
        output.show({"allowed": found.identity}, f"Agreed: {found.name}. {undo}.")
    return 0


def _agree(found: Endpoint, yes: bool, output: Output) -> None:
    where = "on this computer" if found.is_loopback else "on the internet or your network"
    pictures = ", and a few slices of the CT as pictures" if found.images else ""
    output.notice(
        f"{found.name} is {found.url}, model {found.model}, {where}. Each proposal sends it measured sizes and "
        f"densities, the clinical data and the goal that you give{pictures}. Names, ids, dates, DICOM headers and "
        "positions in space are not sent. See a request before it is sent with --preview. It is up to you to make sure "
        "that your hospital and the law allow this."
    )
    # a question that nobody can see is not asked
    if not yes and not (sys.stderr.isatty() and agreed("Do you agree?")):
        raise EndpointConsentError(
            what="You did not agree; nothing was changed", given=found.name, remedy="Answer y, or give --yes"
        )
    privacy.grant(found)


def _list_endpoints(output: Output) -> None:
    agreed_to = privacy.consents()
    known = known_endpoints().values()
    if output.json([to_plain(e) | {"allowed": e.identity in agreed_to} for e in known]):
        return
    words = {True: "yes", False: "no"}
    rows = [
        (e.name, words[e.identity in agreed_to], words[e.images], e.key_variable or "none", f"{e.url} {e.model}")
        for e in known
    ]
    output.rows("Endpoints of language models", ("Name", "Allowed", "Pictures", "Key", "Address and model"), rows)
    output.result(f"Your own: {data_folder() / ENDPOINTS_FILE}")


def _write_preview(data: bytes, name: str, output: Output) -> None:
    with atomic_path(Path(name).expanduser()) as temporary:
        temporary.write_bytes(data)
    text = f"Nothing was sent. What would be sent ({len(data)} bytes): {name}"
    output.show({"preview": name, "bytes": len(data)}, text)


def _missing(field: str, clinical: Clinical) -> str:
    """What is missing for a rule: a field, or the meaning of an allergy."""
    strange = [name for name in clinical.allergies or () if not is_known(name)] if field == "allergies" else []
    known = "MeWM does not know whether an allergy to {} matters here"
    return known.format(" and ".join(strange)) if strange else f"{field} is not known"


def _explain(
    protocol: Protocol, found: tuple[clinical_rules.Explained, ...], forbidden: bool, clinical: Clinical
) -> Iterable[str]:
    open_ones = len(clinical_rules.unjudged(found))
    judged = "allowed" if not open_ones else "no rule that can be judged forbids it; not all can be judged"
    yield f"{protocol.text}: {'not allowed' if forbidden else judged}."
    for entry in (e for e in found if e.state == clinical_rules.TOUCHED):
        yield f"  {entry.severity}: {entry.reason} [{entry.rule}]"
        yield f"    source: {entry.source}"
    lacking = dict.fromkeys(field for entry in found for field in entry.lacks)
    for field in lacking:
        names = [entry.rule for entry in found if field in entry.lacks]
        yield f"  cannot be judged, since {_missing(field, clinical)}: {', '.join(names)}"
    if all(e.state == clinical_rules.SILENT for e in found):
        yield f"  none of the {len(found)} rules objects; all were asked"
    silent = [e.rule for e in found if e.state == clinical_rules.SILENT]
    if silent:
        yield f"  no objection: {', '.join(silent)}"
    yield "Research use only."


def _list(path: Path, output: Output) -> int:
    loaded = clinical_rules.load_rules(path)
    rows = [
        {"rule": r.id, "severity": r.severity, "reason": r.reason, "source": r.source, "needs_review": r.needs_review}
        for r in loaded
    ]
    if not output.json(rows):
        shown = [(r.id, r.severity, f"{r.reason}\n{r.source}") for r in loaded]
        output.rows(f"Clinical rules ({path.name})", ("Rule", "Severity", "Reason and source"), shown)
    return 0
