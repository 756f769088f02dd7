"""What belongs to the whole process is after every public call as it was before: the caller's program is not ours."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MeWMLib
from MeWMLib.core import io, itk_state
from MeWMLib.core.errors import MeWMError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume


def state() -> dict[str, Any]:
    """Everything of the process that a library could change behind the back of its caller."""
    kind, keys, *rest = np.random.get_state()
    root = logging.getLogger()
    umask = os.umask(0)
    os.umask(umask)
    return {
        "ITK threads": sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
        "ITK warnings": sitk.ProcessObject.GetGlobalWarningDisplay(),
        "ITK threader": sitk.ProcessObject.GetGlobalDefaultThreader(),
        "ITK tolerance": sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance(),
        "random": hash(random.getstate()),
        "numpy random": (kind, keys.tobytes(), *rest),
        "torch random": torch.get_rng_state().numpy().tobytes(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
        "torch algorithms": (
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic, torch.get_float32_matmul_precision(),
        ),
        "numpy errors": (np.geterr(), np.geterrcall()),
        "numpy printing": repr(sorted(np.get_printoptions().items(), key=str)),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": tuple(map(str, warnings.filters)),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "logging": (root.level, tuple(map(repr, root.handlers)), logging.root.manager.disable),
        "signals": {one: repr(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)},
        "path": tuple(sys.path),
        "matplotlib": {key: repr(value) for key, value in dict.items(mpl.rcParams)},
        "umask": umask,
        "recursion": sys.getrecursionlimit(),
        "hooks": (sys.excepthook, sys.stdout, sys.stderr, threading.excepthook),
    }  # fmt: skip


def _case(shape: tuple[int, int, int] = (24, 32, 32)) -> tuple[Volume, LabelMap]:
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    distance = ((k - 12) / 8) ** 2 + ((j - 16) / 10) ** 2 + ((i - 15) / 10) ** 2
    hu = np.full(shape, -1000, np.int16)
    hu[:, 2:-2, 2:-2] = 20
    hu[distance < 1] = 110
    tumour = ((k - 12) / 4) ** 2 + ((j - 16) / 4) ** 2 + ((i - 12) / 4) ** 2 < 1
    hu[tumour] = 60
    hu = hu + np.random.default_rng(0).normal(0, 5, shape).round().astype(np.int16)
    labels = (distance < 1).astype(np.uint8) + tumour.astype(np.uint8)
    geometry = Geometry(shape, np.diag([-3.0, -3.0, 3.0, 1.0]))
    return Volume(np.maximum(hu, -1024), geometry, "portal"), LabelMap(np.minimum(labels, 2).astype(np.uint8), geometry)


CT, LABELS = _case()


def _files(folder: Path, *_: Any) -> None:
    for name in ("ct.nrrd", "ct.nii.gz", "ct.mha"):
        io.write_volume(CT, folder / name)
        MeWMLib.read_ct(folder / name)
    for name in ("labels.seg.nrrd", "labels.nii.gz"):
        io.write_labels(LABELS, folder / name)
        MeWMLib.read_labels(folder / name, CT.geometry)
    (folder / "bad.nrrd").write_bytes((folder / "ct.nrrd").read_bytes()[:500])
    for path in (folder / "bad.nrrd", folder / "none.nrrd"):
        with pytest.raises(MeWMError):
            MeWMLib.read_ct(path)


def _world(folder: Path, bundle: Any) -> None:
    world = MeWMLib.WorldModel.load(bundle.path, "cpu")
    patient = world.patient(CT, LABELS, Clinical(age_years=60), "p")
    assert isinstance(patient, MeWMLib.Patient)
    settings = PlanSettings(search="beam", beams=1, drugs=1, embolics=1, drug_horizon=1, replicas=2, steps=1, keep=1)
    space = world.propose(patient, "prefer cisplatin", settings)
    outcomes = world.simulate(patient, Protocol.parse("Cisplatin + Lipiodol"), 3, settings)
    world.assess(patient, outcomes)
    world.segment(CT)
    world.plan(patient, space, settings, 0)


def _register(folder: Path, *_: Any) -> None:
    from MeWMLib.perception.registration import Registration, register

    moved = CT.with_array(np.roll(CT.array, 1, 2))
    register(CT, LABELS, moved, Registration(spacing_mm=6.0, iterations=1, levels=1, shrink=(2, 1)))


def _registration_fails(folder: Path, *_: Any) -> None:
    from MeWMLib.perception.registration import Registration, register

    far = Volume(np.full(CT.array.shape, -1000, np.int16), Geometry(CT.geometry.shape, np.diag([-3.0, -3.0, 3.0, 1.0])))
    try:
        register(CT, LABELS, far, Registration(spacing_mm=6.0, iterations=1, levels=1))
    except MeWMError:
        pass  # whether it says so or not is not the question here


def _segmentation_figures(folder: Path, *_: Any) -> None:
    from MeWMLib.lab.evaluation.segmentation import compare

    compare(LABELS, LabelMap(np.roll(LABELS.array, 1, 0), LABELS.geometry))


def _texts(folder: Path, *_: Any) -> None:
    from MeWMLib.policy.goal import read_goal
    from MeWMLib.policy.reports import parse_report
    from MeWMLib.policy.rules import check

    read_goal("no cisplatin")
    check(parse_report("30 mg of epirubicin and 10 ml of Lipiodol were infused.").protocol)


def _tables(folder: Path, *_: Any) -> None:
    from MeWMLib.cohorts.clinical_table import read_table

    (folder / "t.csv").write_text("patient,os_months,event\na,1,1\nb,2,0\n", encoding="utf-8")
    read_table(folder / "t.csv")


def _cox(folder: Path, *_: Any) -> None:
    from MeWMLib.lab.linear_cox import LinearCox

    rng = np.random.default_rng(0)
    LinearCox.fit(rng.normal(size=(40, 2)), rng.uniform(1, 9, 40), rng.random(40) < 0.7)


def _training(folder: Path, bundle: Any) -> None:
    from MeWMLib.lab.torch_state import kept_torch_state

    @kept_torch_state()
    def train() -> None:
        torch.manual_seed(1)
        torch.set_num_threads(1)
        torch.backends.cudnn.benchmark = True
        torch.randn(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


def _pictures(folder: Path, *_: Any) -> None:
    from MeWMLib.cohorts.layout import CohortCase
    from MeWMLib.cohorts.quality_page import thumbnail
    from MeWMLib.scene import charts, gl

    thumbnail(CohortCase(CT, LABELS, None, None), (None, None))
    gl.gl_available.__wrapped__()
    assert charts is not None


def _sample(folder: Path, *_: Any) -> None:
    MeWMLib.load_sample("synthetic")


CALLS: tuple[Callable[..., None], ...] = (
    _files, _world, _register, _registration_fails, _segmentation_figures, _texts, _tables, _cox, _training, _pictures,
    _sample,
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__.strip("_"))
def test_a_call_changes_nothing_of_the_process(call, tiny_bundle, tmp_path, monkeypatch):
    call_once = tmp_path / "first"
    call_once.mkdir()
    monkeypatch.setenv("MEWM_BUNDLES", str(tiny_bundle.path.parent))
    call(call_once, tiny_bundle)  # imports of libraries may set what they need, once
    (tmp_path / "second").mkdir()
    random.seed(5)
    with np.errstate(under="warn"):
        before = state()
        call(tmp_path / "second", tiny_bundle)
        after = state()
    assert [name for name in before if before[name] != after[name]] == []


def test_the_front_door_is_tried():
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f"MeWMLib.{name}" in source or f"import {name}" in source for name in MeWMLib.__all__)


def test_blocks_that_overlap_put_back_what_was_there():
    get = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads
    before, first_in, second_in = get(), threading.Event(), threading.Event()

    def second() -> None:
        first_in.wait(10)
        with itk_state.one_itk_thread:
            second_in.set()
            first_out.wait(10)
            assert get() == 1

    first_out = threading.Event()
    thread = threading.Thread(target=second)
    thread.start()
    with itk_state.one_itk_thread:
        first_in.set()
        assert second_in.wait(10) and get() == 1
    assert get() == 1
    first_out.set()
    thread.join(10)
    assert get() == before


def test_importing_the_library_leaves_the_process_alone():
    code = (
        "import os, sys, warnings, locale, logging, signal, numpy, SimpleITK; from pathlib import Path\n"
        "def state(): return (dict(os.environ), tuple(map(str, warnings.filters)), locale.setlocale(locale.LC_ALL),\n"
        "    logging.getLogger().level, logging.getLogger().handlers[:], repr(signal.getsignal(signal.SIGINT)),\n"
        "    Path.cwd(), sys.path[:], sys.getrecursionlimit())\n"
        "before = state()\n"
        "import MeWMLib; MeWMLib.Clinical, MeWMLib.Protocol, MeWMLib.PlanSettings, MeWMLib.Patient\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_command_leaves_the_threads_of_torch(tmp_path, capsys):
    from MeWMLib.lab.training.__main__ import main

    before = torch.get_num_threads()
    folders = (
        "--bundle",
        str(tmp_path / "bundle"),
        "--cohort",
        str(tmp_path / "none"),
        "--work",
        str(tmp_path / "work"),
    )
    assert main(["--threads", str(before + 1), "dynamics", *folders, "--config", str(tmp_path / "no.json")]) == 2
    assert torch.get_num_threads() == before and capsys.readouterr().err
