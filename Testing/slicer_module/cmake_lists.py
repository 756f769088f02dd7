"""Write the lists of files in both CMakeLists.txt and the project's address anew.

`python Testing/slicer_module/cmake_lists.py`. Slicer installs what is named there and nothing else, so a file that is
missing in a list is missing in the extension. The address of the repository stands in MeWM.json; others repeat it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("MeWM", "MeWMLib")
#: Files that repeat the address of the repository.
ADDRESSED = ("CMakeLists.txt", "CITATION.cff")
_IGNORED = {"CMakeLists.txt"}
#: What only research needs stays out of the extension.
_IGNORED_FOLDERS = {"__pycache__", "lab"}


def expected(folder: str) -> dict[str, list[str]]:
    """The lists as the tree says: scripts and resources, relative to the folder."""
    root = REPOSITORY / folder
    files = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file()
        and path.name not in _IGNORED
        and not path.name.startswith(".")
        and not _IGNORED_FOLDERS & set(path.relative_to(root).parts)
    )
    return {
        "MODULE_PYTHON_SCRIPTS": [name for name in files if name.endswith(".py")],
        "MODULE_PYTHON_RESOURCES": [name for name in files if not name.endswith(".py")],
    }


def _pattern(variable: str) -> re.Pattern[str]:
    return re.compile(rf"(set\({variable}\n)(.*?)(  \))", re.DOTALL)


def found(folder: str) -> dict[str, list[str]]:
    """The lists as the CMakeLists.txt says."""
    text = (REPOSITORY / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = {}
    for variable in expected(folder):
        match = _pattern(variable).search(text)
        assert match is not None, f"{folder}/CMakeLists.txt does not set {variable}"
        names = match[2].replace("${MODULE_NAME}", folder).split()
        lists[variable] = sorted(names)
    return lists


def write(folder: str) -> bool:
    """Write the lists; True if something changed."""
    file = REPOSITORY / folder / "CMakeLists.txt"
    before = text = file.read_text(encoding="utf-8")
    for variable, names in expected(folder).items():
        body = "".join(f"  {name}\n" for name in names)
        text = _pattern(variable).sub(lambda match, body=body: match[1] + body + match[3], text)
    file.write_text(text, encoding="utf-8", newline="\n")
    return text != before


def with_address(name: str) -> str:
    """The text of CMakeLists.txt or CITATION.cff with the address of the repository that MeWM.json has."""
    home = json.loads((REPOSITORY / "MeWM.json").read_text(encoding="utf-8"))["scm_url"].removesuffix(".git")
    raw = home.replace("https://github.com/", "https://raw.githubusercontent.com/")
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    text = re.sub(r'(EXTENSION_HOMEPAGE |repository-code: )"[^"]+"', rf'\1"{home}"', text)
    return re.sub(r'(EXTENSION_(?:ICONURL|SCREENSHOTURLS) )"[^"]+/main/', rf'\1"{raw}/main/', text)


if __name__ == "__main__":
    for name in FOLDERS:
        changed = write(name)
        sys.stdout.write(f"{name}/CMakeLists.txt: {'written' if changed else 'up to date'}\n")
    for name in ADDRESSED:
        (REPOSITORY / name).write_text(with_address(name), encoding="utf-8", newline="\n")
