"""Prompt templates: text files with a version in their names, filled with `string.Template`.

A template is never changed once it was released: a new one gets the next number, so that a cached answer and a table
always say which words it came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from MeWMLib.core.errors import EndpointError

PROPOSE, REFINE, REPORT = "propose-1", "refine-1", "report-1"
_FOLDER = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class Prompt:
    """What the system and the user say, with $placeholders.

    Attributes:
        version: name of the file.
        system, user: the two messages.
    """

    version: str
    system: str
    user: str

    def fill(self, **values: str) -> tuple[str, str]:
        """Put values in; every placeholder needs one.

        Raises:
            EndpointError: a value is missing.
        """
        try:
            return self.system, Template(self.user).substitute(values).strip()
        except (KeyError, ValueError) as error:
            raise EndpointError(
                what="A prompt template cannot be filled", given=f"{self.version}: {error}", remedy="Report this"
            ) from error


@cache
def load_prompt(version: str) -> Prompt:
    """Read a template.

    Raises:
        EndpointError: there is none of this version, or it lacks a part.
    """
    path = _FOLDER / f"{version}.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EndpointError(what="There is no such prompt template", given=version) from error
    parts = re.fullmatch(r"\[system\]\n(.+?)\n\[user\]\n(.+)", text.strip(), re.DOTALL)
    if parts is None:
        raise EndpointError(what="A prompt template lacks [system] or [user]", given=version)
    return Prompt(version, parts[1].strip(), parts[2].strip())
