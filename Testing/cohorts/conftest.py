"""A patient's folder as a public collection has it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def patient_folder(phantom, tmp_path: Path) -> Path:
    """A public-style collection with one patient: two dates, arterial and portal each."""
    root = tmp_path / "in"
    for date, day in (("20010203", "a"), ("20010305", "b")):
        for number, phase in ((3, "arterial"), (4, "portal")):
            place = root / "C" / "P1" / day / str(number)
            phantom.Series(phantom.trunk(phase)[0], date=date, number=number).write(place)
    return root
