"""The table of jobs: entries that fit together, what it refuses, and a kind that is added by one entry."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from MeWMLib import cli
from MeWMLib.cli.arguments import parse
from MeWMLib.core import io
from MeWMLib.core.errors import InputError
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.processes import child_environment
from MeWMLib.jobs.table import KINDS, kind_of, load
from MeWMLib.jobs.wire import is_plain_name

TOY = Path(__file__).with_name("toy_kind.py")
WORKER = [sys.executable, str(TOY)]


@pytest.fixture
def toy():
    """The entry of the toy kind is in the table of this process while a test runs."""
    runpy.run_path(str(TOY))
    yield KINDS["count"]
    del KINDS["count"]


@pytest.fixture
def job(toy, tmp_path, fake):
    """A job of the toy kind; the small CT holds 8 * 10 * 12 voxels of liver and tumour."""
    io.write_volume(fake.small_ct(), tmp_path / "smith.nrrd")
    return Job("count", {"case": str(tmp_path / "smith.nrrd"), "above": "50"}, str(tmp_path / "my count"))


def test_a_kind_of_one_entry_runs_in_a_worker(job):
    events: list[Event] = []
    assert runner.run(job, events.append, command=WORKER) == {"case": "smith.nrrd", "voxels": 960}
    assert Path(job.out).read_text() == "960\n" and "count" in {e.stage for e in events}


def test_a_kind_of_one_entry_runs_on_a_server(job, serve, tap):
    from MeWMLib.jobs.remote import RemoteRunner
    from MeWMLib.jobs.remote_http import ServerClient
    from MeWMLib.jobs.wire import Address

    server = serve(worker=WORKER)
    line = tap(server.url)
    client = ServerClient(Address.parse(line.url), lambda: server.token)
    result = runner.run(job, make=lambda: RemoteRunner(client))
    assert result == {"case": "smith.nrrd", "voxels": 960}
    assert Path(job.out).read_text() == "960\n"
    assert b"ct.nrrd" in line.sent and b"smith" not in line.sent and b"my count" not in line.sent
    private = Job("count", {**job.inputs, "secret": "x"}, job.out)
    with pytest.raises(InputError, match="cannot be sent.*secret"):
        runner.run(private, make=lambda: RemoteRunner(client))


def test_a_kind_of_one_entry_is_a_command(job, capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "count the bright voxels of a CT" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parse(["count", "--help"])
    said = capsys.readouterr().out
    assert "--above HU" in said and "threshold in HU" in said and "text file to write" in said
    given = ["count", job.inputs["case"], "--above", "50", "--out", job.out]
    assert cli.main([*given, "--json"], worker=WORKER) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["voxels"] == 960 and "Count: 100%" in captured.err
    assert cli.main(given, worker=WORKER) == 0 and f"Written: {job.out}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("inputs", "out", "text"),
    [
        ({"case": "a", "above": "1", "colour": "red"}, "o", "Unknown input of a count job. Given: colour"),
        ({"case": ["a"], "above": "1"}, "o", "case has the wrong type"),
        ({"above": "1"}, "o", "No case was given. Give a CT file"),
        ({"case": "a"}, "o", "No above was given. Give one with --above: threshold in HU"),
        ({"case": "a", "above": "1"}, None, "No output file was given"),
    ],
)
def test_what_the_table_refuses(toy, inputs, out, text):
    with pytest.raises(InputError, match=text):
        toy.check(inputs, out)


def test_names_of_outputs():
    output = kind_of("segment").output
    assert [output.name_for(f"/a/My.{end}") for end in ("NRRD", "seg.nrrd", "nii", "nii.gz")] == [
        "labels.nrrd",
        "labels.seg.nrrd",
        "labels.nii",
        "labels.nii.gz",
    ]
    with pytest.raises(InputError, match=r"Labels are written as .*\.nii"):
        output.name_for("labels.stl")
    assert (
        kind_of("plan").output.name_for("anything") == "plan"
        and kind_of("assess").output.name_for("x") == "assess.json"
    )
    with pytest.raises(InputError, match="Use plan, simulate"):
        kind_of("paint")


@pytest.mark.parametrize("name", list(KINDS))
def test_the_entries_fit_together(name):
    kind = KINDS[name]
    names = [entry.name for entry in kind.inputs]
    assert len(set(names)) == len(names) and callable(load(kind.run))
    assert all(is_plain_name(file) for file in (*kind.files.values(), *(kind.output.names if kind.output else ())))
    for entry in kind.inputs:
        assert entry.type != "labels" or entry.on in names
        assert not entry.series or entry.series in names
        # a path of this computer must not reach a server
        assert entry.file or entry.stays or entry.type in ("text", "on", "off", "clinical"), entry.name
    assert kind.staying("private") == [n for n in ("policy", "preview") if n in names]


def test_the_help_of_the_command_loads_nothing_heavy():
    """Counted instead of timed: what made the help slow were the packages behind the commands."""
    code = (
        "import sys\nfrom MeWMLib.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=child_environment()
    )
    loaded = set(done.stdout.rpartition("LOADED ")[2].split())
    assert "MeWMLib" in loaded and "mewm plan sample" in done.stdout
    heavy = "numpy scipy SimpleITK rich requests urllib3 psutil platformdirs torch monai vtk fastapi jinja2 matplotlib"
    assert loaded & set(heavy.split()) == set()
