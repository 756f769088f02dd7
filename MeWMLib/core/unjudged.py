"""Clinical rules that cannot be judged, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from MeWMLib.core.clinical import field_table


def unjudged_in_words(unjudged: Mapping[str, Sequence[str]]) -> str:
    """Such as "3 rules, since allergies and INR are not known".

    Args:
        unjudged: rules that cannot be judged, by the clinical field that is missing.

    Returns:
        "" where all can be judged.
    """
    if not unjudged:
        return ""
    table, count = field_table(), sum(map(len, unjudged.values()))
    titles = [table[name].title if name in table else name for name in unjudged]
    listed = " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
    return f"{count} rule{'s' if count > 1 else ''}, since {listed} {'are' if len(titles) > 1 else 'is'} not known"
