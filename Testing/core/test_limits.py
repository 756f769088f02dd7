"""The limit of declared voxels: from the environment, from the command line, and back again."""

from __future__ import annotations

import os

import numpy as np
import pytest

from MeWMLib import cli
from MeWMLib.cli import arguments
from MeWMLib.core import io, limits
from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry, Volume


@pytest.fixture(autouse=True)
def _no_limit_of_the_machine(monkeypatch):
    monkeypatch.delenv(limits.ENVIRONMENT, raising=False)


def test_a_limit_holds_in_its_block_only(monkeypatch):
    assert limits.max_voxel_bytes() == 2 * 2**30
    with limits.limit_of("0.5"):
        assert limits.max_voxel_bytes() == 2**29 and os.environ[limits.ENVIRONMENT] == "0.5"
        with limits.limit_of(None):
            assert limits.max_voxel_bytes() == 2**29
        with pytest.raises(InputError, match="declares more"):
            limits.require_declared_size(2**29 + 1, "x.nrrd")
    assert limits.ENVIRONMENT not in os.environ
    monkeypatch.setenv(limits.ENVIRONMENT, "3")
    with limits.limit_of("4"):
        pass
    assert os.environ[limits.ENVIRONMENT] == "3"


@pytest.mark.parametrize("text", ["", " ", "0", "-1", "nan", "inf", "two", "1e30"])
def test_what_is_no_limit(text):
    with pytest.raises(InputError, match="number of GiB"), limits.limit_of(text):
        pass
    assert limits.ENVIRONMENT not in os.environ


def test_the_option_reaches_jobs_programs_and_server():
    assert arguments.parse(["plan", "x", "--out", "y", "--max-gib", "3"]).max_gib == "3"
    assert arguments.parse(["plan", "x", "--out", "y"]).max_gib is None
    assert arguments.parse(["serve", "--max-gib", "3"]).max_gib == "3"
    for words in (["--max-gib", "3"], ["--max-gib=3"]):
        found = arguments.parse(["cohort", "import", *words, "in", "--out", "y", "--help"])
        assert found.max_gib == "3" and found.rest == ["in", "--out", "y", "--help"]


def test_a_job_with_a_ct_above_the_limit_ends_with_a_sentence(tmp_path, capsys):
    array = np.random.default_rng(0).integers(-1000, 1000, (8, 16, 16)).astype(np.int16)
    io.write_volume(Volume(array, Geometry(array.shape, np.eye(4))), tmp_path / "ct.nrrd")
    words = ["segment", str(tmp_path / "ct.nrrd"), "--out", str(tmp_path / "l.nrrd"), "--quiet", "--max-gib"]
    assert cli.main([*words, "1e-6"]) == 2
    assert "--max-gib" in capsys.readouterr().err
    assert cli.main([*words, "many"]) == 2
    assert "number of GiB" in capsys.readouterr().err
