"""What MkDocs does not do: pages that are made at each build, links out of `docs/`, equations without a script.

Pages on GitHub and pages of the site have one source. A link that leads out of `docs/` goes to the page made of that
file, if there is one, else to the repository.
"""

from __future__ import annotations

import functools
import html as entities
import json
import os
import posixpath
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import reference  # noqa: E402  (beside this file, which MkDocs does not put on the path)

#: Files of the repository that become pages: where, and from what.
COPIES = {
    "release-notes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "model-card.md": "Resources/Bundles/mewm-small/MODEL_CARD.md",
}
#: Pictures of the repository that are shown: where, and from what.
PICTURES = {
    "assets/MeWM.png": "Resources/MeWM.png",
    **{f"assets/{p.name}": f"Resources/Screenshots/{p.name}" for p in (ROOT / "Resources/Screenshots").glob("*.png")},
}
#: Pages for those who change the documents, which the site does not show.
LEFT_OUT = ("docs/pictures/README.md",)
#: Environment variable: the notebooks are run, and their pages show what their cells do.
RUN = "MEWM_RUN_NOTEBOOKS"
MADE: dict[str, Callable[[], str]] = {
    "reference/command-line.md": reference.command_line,
    "reference/programs.md": reference.programs,
    "reference/python.md": reference.front_door,
    **{f"reference/{room}.md": functools.partial(reference.room, room) for room in reference.rooms()},
}
#: Comments and links; what stands in code marks comes first, and stays.
_COMMENT = re.compile(r"(`[^`\n]+`)|^<!--(?:(?!-->).)*-->\n|<!--(?:(?!-->).)*-->", re.DOTALL | re.MULTILINE)
#: On GitHub a list or a table may follow a line of text; Python-Markdown wants an empty line between.
_CLOSE = re.compile(r"^(?! *(?:[-*|#>]|\d+\.)| {2})(.*\S.*)\n(?=(?:- |\d+\. |\|))", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|`[^`\n]+`")
_MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the navigation what may be missing and is, and put the rooms in; know the repository's address."""
    missing = set(_missing(config))
    entry = json.loads((ROOT / "MeWM.json").read_text(encoding="utf-8"))
    config.extra["repository"] = entry["scm_url"].removesuffix(".git")

    def kept(entries: list[Any]) -> Iterator[Any]:
        for entry in entries:
            ((title, value),) = entry.items()
            if value == "rooms":
                yield {title: [{room: f"reference/{room}.md"} for room in reference.rooms()]}
            elif isinstance(value, list):
                yield {title: list(kept(value))}
            elif value not in missing:
                yield entry

    config.nav = list(kept(config.nav or []))
    return config


def _missing(config: MkDocsConfig) -> list[str]:
    return [name for name in config.extra["pending"] if not Path(config.docs_dir, name).exists()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the pictures from outside."""
    for target, source in COPIES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding="utf-8")))
    for target, make in MADE.items():
        files.append(File.generated(config, target, content=make()))
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        # what the cells show takes half a minute, which a look at the other pages need not wait for
        shown = reference.shown_by(path) if os.environ.get(RUN) else ()
        text, pictures = reference.notebook(path, config.extra["repository"], shown)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, png in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=png))
    for target, source in PICTURES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend links, and take away the marks of programs; code stays as it is."""
    source = COPIES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    missing = _missing(config)
    parts, last = [], 0
    for fence in [*_FENCE.finditer(markdown), None]:
        text = markdown[last : fence.start() if fence else None]
        text = _CLOSE.sub(r"\1\n\n", _COMMENT.sub(lambda found: found[1] or "", text))
        parts.append(_LINK.sub(lambda found: _mended(found, source, page, config), text))
        if fence:
            parts.append(fence[0])
            last = fence.end()
    text = "".join(parts)
    for name in missing:
        text = re.sub(rf"\[([^\]]+)\]\((?:[./\w-]*/)?{re.escape(name)}(?:#[^)]*)?\)", r"\1", text)
    return text


def _mended(found: re.Match[str], source: str, page: Page, config: MkDocsConfig) -> str:
    return f"]({_target(found[1], source, page, config)})" if found[1] else found[0]


def _target(link: str, source: str, page: Page, config: MkDocsConfig) -> str:
    """Where a link of a file of the repository leads on the site."""
    path, hash_mark, anchor = link.partition("#")
    if not path or ":" in path.split("/")[0]:
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    here = posixpath.dirname(page.file.src_uri)
    made = {file: page for page, file in (*COPIES.items(), *PICTURES.items())}
    if target in made:
        found = made[target]
    elif target.startswith("docs/") and not (ROOT / target).is_dir() and target not in LEFT_OUT:
        found = target.removeprefix("docs/")
        if found.startswith("notebooks/"):
            found = found.replace(".ipynb", ".md")
    elif (ROOT / target).exists():
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{config.extra['repository']}/{kind}/main/{target}{hash_mark}{anchor}"
    else:
        return link
    return os.path.relpath(found, here or ".").replace(os.sep, "/") + hash_mark + anchor


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Equations as MathML, which browsers draw by themselves."""

    def drawn(found: re.Match[str]) -> str:
        display = "block" if found[2] == "[" else "inline"
        return convert(entities.unescape(found[3]).strip(), display=display)

    return _MATH.sub(drawn, html)
