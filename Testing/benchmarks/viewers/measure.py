"""Our viewer and those of others in headless Chromium: size, first frame, frames a second, HU under the cross-hair.

python Testing/benchmarks/viewers/measure.py FOLDER_OF_NODE_MODULES PLAN_FOLDER [FOLDER_FOR_PICTURES]
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
SCROLLS = 40
BUNDLE = (
    "--bundle", "--minify", "--format=iife", "--define:global=globalThis", "--log-level=error", "--external:fs",
    '--define:process.env.NODE_ENV="production"', '--define:import.meta.url="file:///"', "--external:path",
)  # fmt: skip
#: Each key is one slice of both axial pictures, with a frame of the browser for each.
OURS = """async (scrolls) => {
  const canvas = document.querySelector("#viewer canvas"), start = performance.now();
  for (let n = 0; n < scrolls; n++) {
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: n % 20 < 10 ? "ArrowUp" : "ArrowDown" }));
    await new Promise(requestAnimationFrame);
    canvas.getContext("2d").getImageData(0, 0, 1, 1);
  }
  return performance.now() - start;
}"""


def cases(ct: sitk.Image) -> dict[str, sitk.Image]:
    """A scan as it is, turned, left-handed and with long voxels: the same voxels on other grids."""
    turned, mirrored, long = sitk.Image(ct), sitk.Image(ct), sitk.Image(ct)
    a, b = np.deg2rad(17), np.deg2rad(11)
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turned.SetDirection((z @ x).ravel().tolist())
    mirrored.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    long.SetSpacing((0.7, 0.7, 5.0))
    return {"usual": ct, "oblique": turned, "left-handed": mirrored, "anisotropic": long}


def page(viewer: str, image: sitk.Image, script: str, folder: Path) -> Path:
    """An HTML file with the viewer and the scan in it."""
    grid = {"dimensions": image.GetSize(), "spacing": image.GetSpacing(), "origin": image.GetOrigin()}
    # of SimpleITK by rows; of Cornerstone by axes
    grid["direction"] = np.array(image.GetDirection()).reshape(3, 3).T.ravel().tolist()
    if viewer == "niivue":
        sitk.WriteImage(image, str(folder / "ct.nii.gz"))
        data = (folder / "ct.nii.gz").read_bytes()
        body = "<canvas style='width:900px;height:600px' width=900 height=600></canvas>"
    else:
        data = gzip.compress(sitk.GetArrayFromImage(image).astype("<i2").tobytes(), 6)
        body = "".join(f"<div id={n} style='width:450px;height:300px'></div>" for n in ("axial", "coronal", "sagittal"))
    path = folder / f"{viewer}.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>loading</title><body>{body}"
        f"<script>window.GRID = {json.dumps(grid)}</script>"
        f"<script type=text/plain id=data>{base64.b64encode(data).decode()}</script><script>{script}</script>",
        encoding="utf-8",
    )
    return path


def ours(browser: Browser, report: Path) -> None:
    """A whole report with its volumes; the browser test reads HU of every kind of grid."""
    for _ in range(3):
        shown, start = browser.new_page(viewport={"width": 1280, "height": 800}), time.perf_counter()
        shown.goto(report.as_uri(), wait_until="commit")
        shown.wait_for_selector("#viewer[data-state=open]")
        first = time.perf_counter() - start
        shown.focus("#viewer canvas")
        took = shown.evaluate(OURS, SCROLLS)
        print(
            f"MeWM, {report.stat().st_size / 1e6:.1f} MB: first frame {first:.2f} s, "
            f"{1000 * SCROLLS / took:.1f} frames a second"
        )
        shown.close()


def main() -> None:
    packages, plan = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    ct = sitk.ReadImage(str(plan / "pre.nrrd"))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        folder = Path(name)
        (folder / "node_modules").symlink_to(packages)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ours(browser, plan / "report.html")
        for viewer in ("niivue", "cornerstone"):
            shutil.copy(HERE / f"{viewer}.js", folder)
            subprocess.run(
                ["node_modules/.bin/esbuild", f"{viewer}.js", f"--outfile={viewer}.bundle.js", *BUNDLE],
                cwd=folder, check=True,
            )  # fmt: skip
            script = (folder / f"{viewer}.bundle.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
            print(f"{viewer}: {len(script.encode()) / 1e6:.2f} MB of script")
            for case, image in cases(ct).items():
                shown = browser.new_page(viewport={"width": 1280, "height": 800})
                said: list[str] = []
                shown.on("pageerror", lambda error, said=said: said.append(str(error)[:300]))
                path, start = page(viewer, image, script, folder), time.perf_counter()
                shown.goto(path.as_uri())
                try:
                    shown.wait_for_function("document.title != 'loading'", timeout=60_000)
                except Exception as error:
                    print(f"  {case}: {error}; {said}")
                    continue
                first = time.perf_counter() - start
                if shown.title() != "shown":
                    print(f"  {case}: {shown.title()[:500]} {said}")
                    continue
                rng, wrong, apart = np.random.default_rng(1), 0, 0.0
                for _ in range(10):
                    at = [int(rng.integers(5, n - 5)) for n in image.GetSize()]
                    lps = image.TransformIndexToPhysicalPoint(at)
                    ras = [-lps[0], -lps[1], lps[2]]
                    found = shown.evaluate("ras => huAt(ras)", ras)
                    wrong += found["value"] != image[at]
                    apart = max(apart, float(np.linalg.norm(np.subtract(found["mm"], ras))))
                took = shown.evaluate(
                    f"async () => {{ const t = performance.now(); for (let n = 0; n < {SCROLLS}; n++)"
                    " await scroll1(n % 20 < 10 ? 1 : -1); return performance.now() - t; }"
                )
                print(
                    f"  {case}: first frame {first:.2f} s, {1000 * SCROLLS / took:.1f} frames a second, "
                    f"{wrong} of 10 HU wrong, cross-hair up to {apart:.2f} mm away {said}"
                )
                if len(sys.argv) > 3 and case == "oblique":
                    shown.screenshot(timeout=120_000, path=str(Path(sys.argv[3]) / f"{viewer}_{case}.png"))
                shown.close()


if __name__ == "__main__":
    main()
