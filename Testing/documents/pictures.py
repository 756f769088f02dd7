"""Pictures of the report for the tutorials, of a real CT: `make pictures` (a minute after `make demo`).

The report of `make demo` is opened in Chromium without a window and without a network, and looked at as a reader would.
Look at each picture before it is committed. `docs/pictures/README.md` says of every picture of the documents how it is
made.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 860
#: Greys of a CT and the colours of outlines fit into so many, at a third of the size.
COLOURS = 192


def _save(name: str, png: bytes) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def _show(page: Any, which: str) -> None:
    page.check(f"[data-mv=show][value={which}]", force=True)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _viewer(page: Any, which: str) -> bytes:
    _show(page, which)
    png: bytes = page.locator("#viewer").screenshot()
    return png


LOOKS: dict[str, Callable[[Any], bytes]] = {
    "report-first": lambda page: page.screenshot(),
    "report-difference": lambda page: _viewer(page, "difference"),
    "report-uncertainty": lambda page: _viewer(page, "uncertainty"),
}


def main(folder: Path) -> None:
    """Make them all; `folder` is that of `make demo`."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is not installed: make browser")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True).new_page()
        page.goto((folder / "report.html").resolve().as_uri())
        page.wait_for_selector("#viewer[data-state=open]")
        for name, look in LOOKS.items():
            _save(name, look(page))
            print(f"Written: {PICTURES / name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
