"""The documents as a site: built without a warning, whole, and asking nobody for anything, also from disk.

MEWM_SITE_PICTURES names a folder that keeps pictures of its pages for a look.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import MeWMLib
from MeWMLib.cli import arguments
from MeWMLib.jobs.table import KINDS
from Testing.browsers import driven
from Testing.documents.blocks import DOCS, PAGES, REPOSITORY

pytest.importorskip("mkdocs", reason='MkDocs is not installed: pip install "mewm[docs]"')
pytest.importorskip("mkdocstrings", reason='mkdocstrings is not installed: pip install "mewm[docs]"')

#: What a page loads by itself, and not when somebody follows a link.
_LOADED = re.compile(r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)", re.IGNORECASE)
_STYLES = re.compile(r"<link\b[^>]*\brel=[\"']?(?:stylesheet|icon|preload|preconnect)[^>]*>", re.IGNORECASE)


def _build(folder: Path, config: Path = REPOSITORY / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUTF8": "1",
            "NO_MKDOCS_2_WARNING": "1",
            "MEWM_RUN_NOTEBOOKS": "1",
        },
        capture_output=True,
        check=False,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of the site, by their places, and the folder they are in."""
    folder = tmp_path_factory.mktemp("site")
    done = _build(folder)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    pages = {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*.html")}
    return {"": str(folder), **pages}


def _pages(site: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in site.items() if name and name != "404.html"}


@pytest.mark.slow
def test_links_of_the_site_lead_to_pages_and_headings_of_it(site: dict[str, str]) -> None:
    """Looked up in the files themselves, beside MkDocs' own check."""
    folder = Path(site[""])
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in _pages(site).items()}
    wrong = []
    for name, text in _pages(site).items():
        for link in set(re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text)):
            path, _, anchor = html.unescape(link).partition("#")
            if ":" in path.split("/")[0]:
                continue
            target = (folder / name).parent / path if path else folder / name
            key = os.path.relpath(target, folder).replace(os.sep, "/")
            if not target.is_file() or (anchor and key in ids and anchor not in ids[key]):
                wrong.append(f"{name}: {link}")
    assert wrong == []


@pytest.mark.slow
def test_nothing_is_loaded_from_outside(site: dict[str, str]) -> None:
    for name, text in _pages(site).items():
        styles = [re.search(r"href=[\"']?([^\"'\s>]+)", one) for one in _STYLES.findall(text)]
        loaded = [*_LOADED.findall(text), *(found[1] for found in styles if found)]
        assert loaded and not [one for one in loaded if re.match(r"(https?:)?//", one)], name
        # a theme that is told of a repository asks GitHub for its stars
        assert 'data-md-component="source"' not in text
    for path in Path(site[""]).rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_the_reference_is_made_of_parsers_and_docstrings(site: dict[str, str]) -> None:
    commands, programs = site["reference/command-line.html"], site["reference/programs.html"]
    for name in KINDS:
        assert f'<h2 id="mewm-{name}">' in commands
    for command in arguments._COMMANDS:
        page = programs if command.run == arguments._PROGRAM else commands
        assert f'id="mewm-{command.name}' in page
        for names, _ in command.options if page is commands else ():
            assert names[0].startswith("-") is False or f"<code>{names[0]}" in page, (command.name, names)
    for program, parts in arguments._PARTS.items():
        assert all(f'id="mewm-{program}-{part}"' in programs for part in parts)
    for name in MeWMLib.__all__:
        assert f"{MeWMLib._MODULES[name]}.{name}" in site["reference/python.html"]
    assert "of the first replica, or the seed of each" in site["reference/python.html"]
    assert "MeWMLib.core.io.read_volume" in site["reference/core.html"]


@pytest.mark.slow
def test_pages_are_what_their_sources_say(site: dict[str, str]) -> None:
    for name, text in _pages(site).items():
        assert "arithmatex" not in text and "<!-- figure" not in text and "<!-- long" not in text, name
        # a list or a table that GitHub shows, and that Python-Markdown would take for text
        assert not re.search(r"<p>[^<]*(?:<(?!/p>)[^<]*)*\n(?:- |\d+\. |\| )", text), name
    for page in [page for page in PAGES if page.is_relative_to(DOCS) and page.name != "README.md"]:
        source = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = site[page.relative_to(DOCS).with_suffix(".html").as_posix()]
        assert len(re.findall(r"^#{1,6} ", source, re.MULTILINE)) == len(re.findall(r"<h[1-6] id=", text)), page.name
        assert len(re.findall(r"^\|[-| :]+\|$", source, re.MULTILINE)) == text.count("<table>"), page.name
    # marks that a page speaks of stay
    assert "<code>&lt;!-- minutes --&gt;</code>" in site["contributing.html"]
    assert site["concepts/method.html"].count("<math") > 20 and "<table>" in site["JUDGE.html"]
    assert (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()[0][2:] in site["release-notes.html"]
    assert 'href="REPORT.html"' in site["release-notes.html"]
    assert (Path(site[""]) / "assets" / "outcome.png").is_file()


@pytest.mark.slow
def test_notebooks_run_and_their_pages_show_it(site: dict[str, str]) -> None:
    """A cell that fails fails the build; what the cells show is what the notebooks promise."""
    first = site["notebooks/plan-and-look.html"]
    assert "hazard ratio" in first and "of the voxels changed" in first and "plan-and-look-1.png" in first
    picture = (Path(site[""]) / "notebooks" / "plan-and-look-1.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    second = html.unescape(re.sub(r"<[^>]+>", "", site["notebooks/labels-goals-rules.html"]))
    assert "excluded: Cisplatin" in second and "question:" in second and "Did you mean Lipiodol?" in second
    third = re.sub(r"<[^>]+>", "", site["notebooks/small-cohort.html"])
    assert len(re.findall(r"patient \d: rank correlation [+-]\d\.\d\d, regret \d\.\d\d", third)) == 2


@pytest.mark.slow
def test_a_wrong_link_stops_the_build(tmp_path: Path) -> None:
    """Strict is strict: a page with a link to nowhere and one without a place in the navigation are refused."""
    shutil.copytree(REPOSITORY / "docs" / "site", tmp_path / "docs" / "site")
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n[nowhere](none.md) [no heading](#none)\n", encoding="utf-8")
    (tmp_path / "docs" / "lost.md").write_text("# Lost\n", encoding="utf-8")
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    text = re.sub(r"(?s)nav:\n  - Start.*", "nav:\n  - Start: index.md\n", re.sub(r"(?m)^hooks:.*$", "", text))
    text = re.sub(r"(?s)  - mkdocstrings:.*?\n\n", "\n", text)
    (tmp_path / "mkdocs.yml").write_text(text, encoding="utf-8")
    done = _build(tmp_path / "out", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "none.md" in done.stderr and "#none" in done.stderr and "lost.md" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 360])
def test_in_a_browser_from_disk(site: dict[str, str], width: int) -> None:
    """Opened as files, without a network: nothing is asked for, nothing hangs over the edge, the search finds."""
    folder, kept = Path(site[""]), os.environ.get("MEWM_SITE_PICTURES")
    asked, said = [], []
    with driven() as browser:
        page = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        for name in ("index", "tutorials/radiologists", "concepts/method", "reference/command-line", "faq"):
            page.goto((folder / f"{name}.html").as_uri())
            page.wait_for_selector("h1")
            # wide tables and code scroll by themselves; the page does not
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).map((one) => one.src)"
            assert page.evaluate(broken) == [], name
            if kept:
                page.screenshot(path=str(Path(kept) / f"{name.replace('/', '-')}-{width}.png"))
        page.goto((folder / "index.html").as_uri())
        if width < 1000:
            page.locator(".md-header label[for=__search]").first.click()
        page.locator(".md-search__input").press_sequentially("territory")
        page.wait_for_selector(".md-search-result__item", timeout=20_000)
        assert "territory" in page.inner_text(".md-search-result__list").lower()
        # pages come before the names of the code
        assert "reference/" not in page.get_attribute(".md-search-result__link >> nth=0", "href")
        if kept:
            page.screenshot(path=str(Path(kept) / f"search-{width}.png"))
    assert said == []
    assert asked and not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
