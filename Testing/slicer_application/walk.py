"""Walk the checklist of docs/SLICER.md inside 3D Slicer and write a page with pictures; `run.sh` starts it there.

The stand-in host runs the same file in a test. Each check does what a user does, says in one line what was seen, and is
kept apart from the others: one that fails is told with its error, and the next one begins with an empty scene.
"""

import html
import itertools
import os
import sys
import time
import traceback
from pathlib import Path

import qt
import slicer

WAIT_S = float(os.environ.get("MEWM_WALK_WAIT_S", "900"))


class Watch:
    """Measures how long the event loop stood still between two turns, in ms."""

    def __init__(self):
        self.longest_ms, self._last = 0.0, time.monotonic()
        self._timer = qt.QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)

    def _tick(self):
        now = time.monotonic()
        self.longest_ms, self._last = max(self.longest_ms, 1000.0 * (now - self._last)), now

    def __enter__(self):
        self._last = time.monotonic()
        self._timer.start()
        return self

    def __exit__(self, *_error):
        self._tick()
        self._timer.stop()


class NotPossible(Exception):
    """A check cannot be tried here, with the reason."""


class Walker:
    """What a check is given: the panels, clicks and waiting.

    Args:
        folder: where pictures and files go.
    """

    def __init__(self, folder):
        self.folder = folder
        slicer.util.selectModule("MeWM")
        self.widget = slicer.util.getModuleWidget("MeWM")

    @property
    def front(self):
        """The panels; there are none where packages are missing."""
        if self.widget.front is None:
            raise NotPossible("packages are missing: press Install packages... in the module first")
        return self.widget.front

    def ui(self, panel, name):
        """A widget of a panel, which is unfolded."""
        if panel in self.front.folds:
            self.front.folds[panel].collapsed = False
        return getattr(getattr(self.front, panel).ui, name)

    def click(self, panel, name):
        """Press a button; it must be enabled."""
        button = self.ui(panel, name)
        self.turn()
        assert button.enabled, f"{name} is disabled: {button.toolTip}"
        button.click()
        self.turn()

    def turn(self, count=3):
        """Let Qt work, until all panels show the state: they are shown anew one in a turn."""
        until = time.monotonic() + WAIT_S
        for n in itertools.count(1):
            slicer.app.processEvents()
            settled = self.widget.front is None or self.widget.front.settled
            if (n >= count and settled) or time.monotonic() > until:
                break

    def wait(self, condition, seconds=WAIT_S):
        """Let Qt work until something is true; an error dialog ends it."""
        until = time.monotonic() + seconds
        while not condition():
            box = self.front.messages.box
            if box is not None and not condition():
                text = f"{self.front.messages.last}"
                self.front.messages.close()
                raise AssertionError(f"an error came up: {text}")
            assert time.monotonic() < until, f"waited {seconds:.0f} s"
            slicer.app.processEvents()
            time.sleep(0.004)

    def idle(self):
        """Wait for the end of the job."""
        self.wait(lambda: not self.front.desk.busy)
        self.turn()

    def empty(self):
        """An empty scene, no job, no dialog."""
        slicer.util.selectModule("MeWM")
        if self.widget.front is not None:
            self.widget.front.messages.close()
        slicer.mrmlScene.Clear(0)
        self.turn(10)

    def sample(self):
        """Load the sample by its button; returns its CT."""
        self.click("patient", "sampleButton")
        self.wait(lambda: self.front.parameters.ct is not None)
        self.idle()
        return self.front.parameters.ct

    def plan(self):
        """Press the button on top and wait for the comparison."""
        former = self.front.comparison.id if self.front.comparison is not None else ""
        self.click("planning", "planButton")
        self.wait(lambda: self.front.comparison is not None and self.front.comparison.id != former)
        self.idle()
        return self.front.comparison

    def composite(self, view):
        """What a slice view shows."""
        from MeWMLib.scene.comparison import slice_nodes

        return slice_nodes(slicer.mrmlScene, view)[1]

    def picture(self, name):
        """Save what the main window shows."""
        self.turn(10)
        file = self.folder / f"{name}.png"
        slicer.util.mainWindow().grab().save(str(file))
        return file.name


def walk(folder, checks):
    """Do the checks, one after the other; returns (title, "passed", "failed" or "not tried", words, picture)."""
    walker, told = Walker(folder), []
    for number, (title, check) in enumerate(checks, start=1):
        try:
            walker.empty()
            words, state = check(walker) or "", "passed"
        except NotPossible as reason:
            words, state = str(reason), "not tried"
        except Exception:
            words, state = traceback.format_exc(limit=-3), "failed"
        try:
            shot = walker.picture(f"{number:02d}")
        except Exception:
            shot = ""
        told.append((title, state, words, shot))
        print(f"{state}: {title}: {words}", flush=True)
    walker.empty()
    return told


def page(told):
    """The page of all checks."""
    count = {state: sum(one[1] == state for one in told) for state in ("passed", "failed", "not tried")}
    app = slicer.app
    rows = "".join(
        f"<tr><td>{html.escape(state)}</td><td>{html.escape(title)}<pre>{html.escape(words)}</pre></td><td>"
        + (f'<a href="{shot}"><img src="{shot}" width="420"></a>' if shot else "")
        + "</td></tr>"
        for title, state, words, shot in told
    )
    return (
        f'<!doctype html><html lang="en" data-failed="{count["failed"]}"><meta charset="utf-8">'
        f"<title>MeWM in Slicer</title><h1>MeWM in Slicer {app.majorVersion}.{app.minorVersion}</h1>"
        f"<p>{sys.platform}: {count['passed']} passed, {count['failed']} failed, {count['not tried']} not tried. "
        f"Look at the pictures: a script sees less than a person.</p><table border>{rows}</table></html>"
    )


def main():
    """Called by Slicer: walk, write the page, close."""
    folder = Path(os.environ["MEWM_WALK_FOLDER"])
    sys.path.insert(0, os.environ["MEWM_WALK_CODE"])
    import checks

    told = walk(folder, checks.CHECKS)
    (folder / "index.html").write_text(page(told), encoding="utf-8")
    slicer.util.exit(int(any(state == "failed" for _title, state, *_rest in told)))


if os.environ.get("MEWM_WALK_FOLDER"):
    main()
