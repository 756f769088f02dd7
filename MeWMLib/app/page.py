"""The page: its files, and the words that it is given."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import Response

import MeWMLib
from MeWMLib.app.advice import fields, template_list
from MeWMLib.cohorts.sample_table import SAMPLES, TREATED
from MeWMLib.core.errors import InputError
from MeWMLib.core.plan_folder import RESEARCH_USE_ONLY
from MeWMLib.jobs.table import KINDS, STAGES
from MeWMLib.scene.viewer_page import KEYS, ViewerParts, viewer_module

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Made from the report's own viewer.
_VIEWER, _STYLE = "viewer.js", "viewer.css"


def static_file(name: str) -> Response:
    """A file of the page; names are looked up and never used as a path.

    Raises:
        InputError: there is none of this name.
    """
    found = _files()
    if name not in found:
        raise InputError(what="The page has no such file", given=repr(name)[:80])
    return Response(found[name], media_type=_TYPES[Path(name).suffix])


@cache
def _files() -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    found[_VIEWER] = viewer_module().encode()
    found[_STYLE] = ViewerParts(None, "", "").style.encode()
    return found


@cache
def start_words() -> dict[str, Any]:
    """What the page is made of beside a patient: words, tables, colours."""
    parts = ViewerParts(None, "", "")
    return {
        "version": MeWMLib.__version__,
        "banner": RESEARCH_USE_ONLY,
        "samples": [
            {
                "name": name,
                "title": one.title.replace("^3", "\N{SUPERSCRIPT THREE}"),
                "terms": one.terms,
                "treated": name in TREATED,
            }
            for name, one in SAMPLES.items()
        ],
        "templates": template_list(),
        "fields": fields(),
        "viewer": parts.header,
        "windows": parts.windows,
        "keys": [list(one) for one in KEYS],
        "kinds": {name: {"title": kind.title, "stages": {**STAGES, **kind.stages}} for name, kind in KINDS.items()},
    }
