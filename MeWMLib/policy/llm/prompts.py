"""Prompt templates: text files with a version in their names, filled with `string.Template`.

A released template is never changed: the next version gets the next number, so that a cached answer and a table always
say which words they came from.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from MeWMLib.core.errors import EndpointError

PROPOSE, REFINE, REPORT = "propose-2", "refine-2", "report-2"


def fill(version: str, **values: str) -> tuple[str, str]:
    """What the system and the user say, with a value for every $placeholder.

    Args:
        version: name of the file.
        values: of the placeholders; those that the template does not have are passed over.

    Raises:
        EndpointError: there is no such version, it lacks a part, or a value is missing.
    """
    try:
        text = Path(__file__).with_name("prompts").joinpath(f"{version}.txt").read_text(encoding="utf-8")
    except OSError as error:
        raise EndpointError(what="There is no such prompt template", given=version) from error
    parts = re.fullmatch(r"\[system\]\n(.+?)\n\[user\]\n(.+)", text.strip(), re.DOTALL)
    if parts is None:
        raise EndpointError(what="A prompt template lacks [system] or [user]", given=version)
    try:
        return parts[1].strip(), Template(parts[2]).substitute(values).strip()
    except (KeyError, ValueError) as error:
        raise EndpointError(
            what="A prompt template cannot be filled", given=f"{version}: {error}", remedy="Report this"
        ) from error
