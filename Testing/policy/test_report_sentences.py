"""Sentences of operation reports in the styles of several hospitals: amounts, products, places, what is not read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from MeWMLib.core.protocol import Protocol
from MeWMLib.core.territory import Territory
from MeWMLib.policy.reports import parse_report

TABLE = json.loads(Path(__file__).with_name("report_sentences.json").read_text(encoding="utf-8"))["sentences"]


def test_there_are_sixty_sentences_and_half_were_written_before_the_parser() -> None:
    sets = Counter(row["set"] for row in TABLE)
    assert len({row["text"] for row in TABLE}) == len(TABLE) >= 60 and sets["first"] >= 30


@pytest.mark.parametrize("row", TABLE, ids=[row["text"][:50] for row in TABLE])
def test_sentences(row: dict[str, Any]) -> None:
    report = parse_report(row["text"])
    assert report.protocol.fed(None) == (Protocol.parse(row["given"]) if row["given"] else Protocol(()))
    if row["uncertain"] is not None:
        assert sorted(report.uncertain) == sorted(row["uncertain"])
    if row["unread"] is not None:
        assert len(report.unread) == len(row["unread"]), report.unread
        assert all(part in said for part, said in zip(row["unread"], report.unread, strict=True))
    if row["territory"] is not None:
        assert report.territory == (Territory.parse(row["territory"]) if row["territory"] else None)


@pytest.mark.parametrize("row", TABLE, ids=[row["text"][:50] for row in TABLE])
def test_a_reading_is_json_and_its_protocol_is_read_back(row: dict[str, Any]) -> None:
    report = parse_report(row["text"])
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["uncertain"].keys() == report.uncertain.keys()
    if report.protocol.actions:
        assert Protocol.parse(data["protocol"]) == report.protocol
