"""A browser shows a segmentation over its CT at the right place: OHIF's readers in Chromium without a window.

The packages of npm are looked for in MEWM_VIEWER_PACKAGES, or where `make test-pacs` puts them. MEWM_VIEWER_PICTURES
names a folder that keeps the pictures for a look.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from MeWMLib.core.io import read_labels
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.exchange.export import ExportSettings, export_plan
from Testing.browsers import PACKAGES, chromium

VIEWER = Path(__file__).with_name("viewer")
SCALE = 4
#: Brightness of a channel that a segment adds is higher than that of the CT by more than this.
ADDED = 40


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A folder with the page and its script in one piece."""
    browser = chromium()
    if not (PACKAGES / "@cornerstonejs" / "adapters").is_dir():
        pytest.skip("the packages of the viewer are not installed: make test-pacs")
    folder = tmp_path_factory.mktemp("page")
    (folder / "node_modules").symlink_to(PACKAGES.resolve())
    for name in ("viewer.js", "index.html"):
        shutil.copy(VIEWER / name, folder)
    command = [
        str(folder / "node_modules" / ".bin" / "esbuild"), "viewer.js", "--bundle", "--format=iife",
        "--outfile=viewer.bundle.js", "--define:global=globalThis", "--log-level=error",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return folder, browser


def picture_of(page, tmp_path, ct, seg, n, shape, name):
    """What the browser shows of a slice, as RGB (J, I, 3), and the title of the page."""
    from PIL import Image

    folder, browser = page
    slices = sorted(ct.iterdir())
    for number, path in enumerate(slices, start=1):
        shutil.copy(path, folder / f"{number}.dcm")
    shutil.copy(seg, folder / "seg.dcm")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/index.html?files={len(slices)}&slice={n}&scale={SCALE}"
    shot = tmp_path / f"{name}.png"
    common = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=60000",
        f"--window-size={shape[1] * SCALE},{shape[0] * SCALE}",
    ]  # fmt: skip
    try:
        said = subprocess.run(
            [*common, "--dump-dom", f"--screenshot={shot}", address], capture_output=True, text=True, timeout=200
        )
        if not shot.is_file():  # some versions do one of the two
            subprocess.run([*common, f"--screenshot={shot}", address], capture_output=True, check=True, timeout=200)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    if kept := os.environ.get("MEWM_VIEWER_PICTURES"):
        shutil.copy(shot, Path(kept) / shot.name)
    title = said.stdout.partition("<title>")[2].partition("</title>")[0]
    return np.asarray(Image.open(shot).convert("RGB")).astype(int), title


def position_of(path):
    """Where the first voxel of a file lies, RAS mm."""
    position = pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient
    return np.array(position, float) * (-1, -1, 1)


@pytest.fixture(scope="module")
def oblique(trunk, phantom, make_plan, tmp_path_factory):
    """A plan and its export into the study of a scan that is turned about its axis, and runs downwards."""
    t = np.deg2rad(20)
    root = tmp_path_factory.mktemp("oblique")

    def turn(data, n):
        data.ImageOrientationPatient = [-np.cos(t), -np.sin(t), 0.0, -np.sin(t), np.cos(t), 0.0]

    hu, labels = trunk
    dicom = phantom.Series(hu, change=turn).write(root / "scan")
    plan = make_plan(dicom, labels[::-1], root / "plan")
    assert plan.ct.geometry.affine[2, 2] < 0 and plan.ct.geometry.affine[0, 1] > 1
    return plan, export_plan(plan.plan, root / "out", ExportSettings(reference=dicom))


@pytest.fixture(scope="module")
def left_handed(trunk, folders, tmp_path_factory):
    """A plan whose slices are numbered against their normal, as no reader of DICOM does it, and its made-up study."""
    root = tmp_path_factory.mktemp("left_handed")
    hu, labels = trunk
    grid = Geometry(hu.shape, folders.oblique(folders.AXIAL * (1, 1, -1, 1)))
    assert np.linalg.det(grid.affine[:3, :3]) < 0
    plan = folders.write_plan_folder(root / "plan", hu, labels, grid, keep=1)
    done = export_plan(plan, root / "out", ExportSettings())
    scan = next(done.folder.glob("*before_ct"))
    return SimpleNamespace(plan=plan, dicom=scan, ct=Volume(hu, grid), labels=labels), done


@pytest.mark.slow
@pytest.mark.parametrize("case", ["before", "simulated02", "oblique", "left_handed"])
def test_segments_lie_where_they_belong(page, planned, exported, tmp_path, request, case):
    if case in ("oblique", "left_handed"):
        planned, exported = request.getfixturevalue(case)
    if case == "simulated02":
        ct = next(exported.folder.glob(f"*{case}_ct"))
        seg = next(exported.folder.glob(f"*{case}_dseg.dcm"))
        labels = read_labels(planned.plan / "simulated_02.seg.nrrd", planned.ct.geometry).array
    else:
        ct, seg = planned.dicom, next(exported.folder.glob("*desc-before_dseg.dcm"))
        labels = planned.labels
    n = int(np.argmax((labels == 2).sum(axis=(1, 2))))
    # the file that lies where this slice of the plan does: the two are in another order
    kji = [planned.ct.geometry.to_kji(position_of(path)) for path in sorted(ct.iterdir())]
    shown = int(np.argmin(np.abs(np.array(kji)[:, 0] - n)))
    assert np.allclose(kji[shown], (n, 0, 0), atol=1e-3)
    picture, title = picture_of(page, tmp_path, ct, seg, shown, labels.shape[1:], case)
    assert title == "shown: Liver, Tumour 1"
    middle = picture[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE][: labels.shape[1], : labels.shape[2]]
    red, green, blue = np.moveaxis(middle, -1, 0)
    liver, tumour = green - blue > ADDED, red - blue > ADDED
    assert np.array_equal(tumour, labels[n] == 2) and tumour.any()
    assert np.array_equal(liver, labels[n] >= 1)
    # the CT lies under it the same way: its air is black, its body is not
    hu = planned.ct.array[n]
    outside = (labels[n] == 0) & (hu < -200)
    assert blue[outside].max() <= 120 and blue[(labels[n] == 0) & (hu > 0)].min() > 30
    assert np.median(blue[outside]) == 0
