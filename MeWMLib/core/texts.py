"""How long a free text of the user may be. Whatever reads one takes time in proportion to its length."""

from __future__ import annotations

import re

from MeWMLib.core.errors import InputError, MeWMError

#: Characters of an operation report, of a goal, and of one protocol: many times what anybody writes.
MOST_REPORT, MOST_GOAL, MOST_PROTOCOL = 100_000, 20_000, 4_000
_BLANKS = re.compile(r"[^\S\n]+")


def require_length(text: str, most: int, what: str, error: type[MeWMError] = InputError) -> None:
    """Refuse a text that is too long.

    Args:
        text: as it was given.
        most: characters.
        what: names it in the error, such as "The report".
        error: type of the error.

    Raises:
        MeWMError: of type `error`.
    """
    if len(text) > most:
        raise error(
            what=f"{what} is too long",
            given=f"{len(text)} characters, at most {most} are read",
            remedy="Give only the part that is about the treatment",
        )


def single_blanks(text: str) -> str:
    """The text with one blank in the place of several; line breaks stay. Long runs would cost patterns their time."""
    return _BLANKS.sub(" ", text)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and three dots."""
    return text if len(text) <= most else text[: most - 3] + "..."
