"""Pictures for README and docs, of a real CT: `make screenshots` (minutes).

README's first picture is put together from the folder of `make demo`. Then the module is opened in the stand-in host
with the real worker and the released model: it loads the sample `lits-117`, plans for it by one click, searches a small
space, and saves each panel to Resources/Screenshots. Look at each picture before it is committed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SCREENSHOTS = REPOSITORY / "Resources" / "Screenshots"
SAMPLE, WIDTH = "lits-117", 560
NOTE = "real CT (LiTS 117, crop), simulated by mewm-small"
MOST_S = 1800.0


def first_picture(plan: Path) -> None:
    """Before, simulated, difference and uncertainty of a plan's folder side by side."""
    from PIL import Image

    names = ("before", "simulated", "difference", "deviation")
    pictures = [Image.open(plan / "pictures" / f"axial_{name}.png").convert("RGB") for name in names]
    whole = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)))
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    whole.save(SCREENSHOTS / "demo.png", optimize=True)


def main(plan: Path) -> None:
    """Make them all; `plan` is the folder of `make demo`."""
    first_picture(plan)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]
    import slicer_host

    app = slicer_host.start()
    from PySide6 import QtWidgets

    loaded = slicer_host.load_module(REPOSITORY / "MeWM" / "MeWM.py")
    front = loaded.widget.front
    window = QtWidgets.QScrollArea()
    window.setWidgetResizable(True)
    window.setWidget(loaded.parent)
    window.resize(WIDTH, 1200)
    window.show()

    def wait(condition: Any) -> None:
        until = time.monotonic() + MOST_S
        # what has happened is shown one panel after the other
        while not (condition() and front.settled):
            if front.messages.box is not None:
                raise SystemExit(f"an error came up: {front.messages.last}")
            if time.monotonic() > until:
                raise SystemExit(f"waited {MOST_S:.0f} s; log: {front.desk.state.log}")
            app.processEvents()
            time.sleep(0.005)

    def press(button: Any) -> None:
        wait(lambda: True)
        if not button.enabled:
            raise SystemExit(f"{button.name} is disabled: {button.toolTip}")
        button.click()

    box = front.patient.ui.sampleBox
    box.setCurrentIndex(box.findData(SAMPLE))
    press(front.patient.ui.sampleButton)
    wait(lambda: front.parameters.ct is not None and not front.desk.busy)
    press(front.planning.ui.planButton)
    wait(lambda: front.comparison is not None and not front.desk.busy)
    first = front.comparison.id
    pack = front.parameters.exploration
    pack.drugs, pack.embolics, pack.replicas, pack.goal = 2, 2, 2, "prefer Epirubicin"
    front.parameters.clinical.child_pugh_class, front.parameters.clinical.age_years = "A", 61.0
    front.refresh()
    press(front.segmentation.ui.measureButton)
    wait(lambda: not front.desk.busy)
    # which of two lesions alike is the target: the larger one, ticked as a user ticks it
    front.parameters.targets = "1"
    front.refresh()
    press(front.exploration.ui.exploreButton)
    wait(lambda: front.comparison is not None and front.comparison.id != first and not front.desk.busy)
    front.actions.ui.protocolList.setCurrentRow(0)
    _save(front, app)
    window.hide()
    loaded.close()


def _save(front: Any, app: Any) -> None:
    """One picture for each panel; the outcome has the views beside it."""
    from MeWMPanels import case_files
    from PySide6 import QtWidgets
    from slicer_host.pictures import beside, caption, views

    labels = case_files.labels_of(front.parameters, case_files.ct_of(front.parameters).geometry)
    pictures = [caption(pixels, title) for title, pixels in views(front.comparison, labels)]
    for name, fold in front.folds.items():
        for other in front.folds.values():
            other.collapsed = other is not fold
        for _ in range(5):
            app.processEvents()
        # the stand-in for ctk's fold does not ask labels that break their lines how much room they need
        for label in fold.findChildren(QtWidgets.QLabel):
            if label.wordWrap and label.visible:
                label.setMinimumHeight(max(0, label.heightForWidth(label.width)))
        for _ in range(5):
            app.processEvents()
        grabbed = fold.grab()
        if name == "outcome":
            beside(grabbed, pictures, NOTE, SCREENSHOTS / "outcome.png")
        else:
            grabbed.save(str(SCREENSHOTS / f"{name}.png"))
        sys.stdout.write(f"{name}.png\n")
    front.planning.widget.grab().save(str(SCREENSHOTS / "plan.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
