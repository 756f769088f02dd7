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

import numpy as np
import pytest

from MeWMLib.core.io import read_labels

VIEWER = Path(__file__).with_name("viewer")
PACKAGES = Path(os.environ.get("MEWM_VIEWER_PACKAGES", VIEWER / "node_modules"))
SCALE = 4
#: Brightness of a channel that a segment adds is higher than that of the CT by more than this.
ADDED = 40


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A folder with the page and its script in one piece."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: make test-pacs")
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
    return folder, chromium


def picture_of(page, tmp_path, ct, seg, n, shape, name):
    """What the browser shows of a slice, as RGB (J, I, 3), and the title of the page."""
    from PIL import Image

    folder, chromium = page
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
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
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


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["before", "simulated02"])
def test_segments_lie_where_they_belong(page, planned, exported, tmp_path, outcome):
    if outcome == "before":
        ct, seg = planned.dicom, next(exported.folder.glob("*desc-before_dseg.dcm"))
        labels = planned.labels
    else:
        ct = next(exported.folder.glob(f"*{outcome}_ct"))
        seg = next(exported.folder.glob(f"*{outcome}_dseg.dcm"))
        labels = read_labels(planned.plan / "simulated_02.seg.nrrd", planned.ct.geometry).array
    n = int(np.argmax((labels == 2).sum(axis=(1, 2))))
    # the files of the scan lie in another order than the slices of the plan
    if outcome == "before":
        import pydicom

        places = [float(pydicom.dcmread(p).ImagePositionPatient[2]) for p in sorted(ct.iterdir())]
        shown = int(np.argsort(np.argsort(places))[n]) if places == sorted(places) else int(np.argsort(places)[n])
    else:
        shown = n
    picture, title = picture_of(page, tmp_path, ct, seg, shown, labels.shape[1:], outcome)
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
