"""Run every line of docs/YOUR_COHORT.md on eight drawn patients written as DICOM: `python Testing/your_cohort.py DIR`.

Trainings take two steps, and few patients are drawn: it shows that the lines of the page work. Minutes of one core.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "YOUR_COHORT.md"
#: What is added to a line so that it takes minutes: of repeated options the last one counts.
SHORT = {
    "train segmenter": ["--steps", "2", "--validation", "1", "--batch", "1", "--save", "1"],
    "train dynamics": ["--steps", "2", "--drawn-patients", "2", "--batch", "2"],
    "train survival": ["--steps", "2"],
    "reproduce": [
        "--replicas",
        "1",
        "--searched",
        "1",
        "--steps",
        "2",
        "--drugs",
        "2",
        "--embolics",
        "1",
        "--assistant-patients",
        "0",
        "--fitted-on",
        "1",
        "--no-baselines",
    ],
}

#: Of the opaque ids, and so of the sides: a death before the last time of another patient is on that of validation.
KEY = b"eight drawn patients, key 4"


def lines() -> list[list[str]]:
    """The commands of the page, as words."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def run(folder: Path, first: int = 0) -> int:
    """Write the patients into an empty folder and run the lines in it; the first that fails ends it."""
    sys.path.insert(0, str(REPOSITORY))
    from Testing.lab.training.own.eight import write_dicom

    if first == 0:
        write_dicom(folder / "hospital", move=(3, -4, 2))
        (folder / "home").mkdir()
        (folder / "home" / "cohort.key").write_bytes(KEY)
    environment = {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", "MEWM_DATA": str(folder / "home"),
    }  # fmt: skip
    for n, words in enumerate(lines()):
        if n < first:
            continue
        more = next((extra for name, extra in SHORT.items() if " ".join(words).startswith(f"mewm {name}")), [])
        command = [sys.executable, "-m", "MeWMLib.cli", *words[1:], *more]
        since = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        print(
            f"{n}: {shlex.join([*words, *more])}: exit {done.returncode}, {time.monotonic() - since:.0f} s", flush=True
        )
        print(done.stdout[-1500:], flush=True)
        if done.returncode:
            print(done.stderr[-3000:])
            return 1
    print(f"all {len(lines())} lines of {PAGE.name} ran")
    return 0


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    raise SystemExit(run(target, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
