"""Jobs and events survive JSON, and nothing malformed becomes one."""

from __future__ import annotations

import json

import pytest

from MeWMLib.core.errors import InputError, NoTumourError, error_from_json
from MeWMLib.jobs.job import Event, Job, error_event

JOB = Job("plan", {"case": "ä b.nrrd", "goal": "☂"}, "out", 7, "cpu", "mewm-small", {"beams": 2})
EVENT = Event("progress", "plan", 0.5, 3.25, 812.0, "näher\nzweite Zeile", {"best": {"risk": -0.5}})


def test_round_trip():
    assert Job.from_json(JOB.to_json()) == JOB
    assert Event.from_json(EVENT.to_json()) == EVENT
    assert Job.from_json('{"version":1,"kind":"segment"}') == Job("segment")


def test_one_event_is_one_ascii_line():
    assert "\n" not in EVENT.to_json() and EVENT.to_json().isascii()


@pytest.mark.parametrize("cls", [Job, Event])
@pytest.mark.parametrize("text", ["", "hello", "[1]", "null", '{"version":1}', '{"kind":"plan"}', "[" * 100000])
def test_what_is_no_job_or_event_is_refused(cls, text):
    with pytest.raises(InputError):
        cls.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "paint"},
        {"version": 2},
        {"version": None},
        {"shell": "rm"},
        {"inputs": []},
        {"settings": None},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": True},
        {"out": 3},
        {"bundle": []},
        {"device": None},
    ],
)
def test_a_wrong_job_is_refused(changes):
    with pytest.raises(InputError):
        Job.from_json(json.dumps(json.loads(JOB.to_json()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "paint"},
        {"fraction": 1.5},
        {"fraction": "half"},
        {"fraction": True},
        {"eta_s": float("nan")},
        {"message": None},
        {"stage": 1},
        {"data": []},
        {"extra": 1},
    ],
)
def test_a_wrong_event_is_refused(changes):
    with pytest.raises(InputError):
        Event.from_json(json.dumps(json.loads(EVENT.to_json()) | changes))


def test_nan_cannot_be_sent():
    with pytest.raises(InputError, match="cannot be written as JSON"):
        Event("result", data={"risk": float("nan")}).to_json()


def test_an_error_keeps_its_type():
    error = NoTumourError(what="No tumour", given="ct.nrrd", remedy="Give labels")
    event = Event.from_json(error_event(error, "Traceback ...").to_json())
    back = error_from_json(event.data)
    assert type(back) is NoTumourError and str(back) == str(error) == event.message
    assert event.data["traceback"] == "Traceback ..."
