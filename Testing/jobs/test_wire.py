"""What two sides say to each other: headers of uploads there and back, and names that are more than names."""

from __future__ import annotations

import hashlib
import json

import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.wire import FileEntry, is_plain_name, read_upload_header, upload_header

SUM = hashlib.sha256(b"x").hexdigest()


def test_a_header_comes_back_as_it_was():
    job = Job("assess", {"case": "ct.nrrd", "post": "post.nrrd", "goal": "f\u00fcr \u2028 alle\n"}, "assess.json", 7)
    files = (FileEntry("ct.nrrd", 5, SUM), FileEntry("post.nrrd", 0, SUM))
    line = upload_header(job, files)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    assert read_upload_header(line) == (job, files)


@pytest.mark.parametrize("name", ["ct.nrrd", "simulated_01.seg.nrrd", "A", "a-b_c.1", "a..b"])
def test_plain_names(name):
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "a/b", "/a", "a\\b", "C:a", "a\n", "a b", "a\0b", "\u00e4", "-rf", "a" * 65, None, 7]
)
def test_what_is_no_plain_name(name):
    assert not is_plain_name(name)


def test_a_file_listed_twice():
    data = json.loads(
        upload_header(Job("segment", {"case": "ct.nrrd"}, "labels.nrrd"), (FileEntry("ct.nrrd", 1, SUM),))
    )
    data["files"] *= 2
    with pytest.raises(InputError, match="twice"):
        read_upload_header(json.dumps(data).encode())


def test_a_deep_header_is_no_crash():
    with pytest.raises(InputError):
        read_upload_header(b"[" * 100_000)
