"""The JSON schema of clinical data, and its table for people, both from the one table of fields."""

from __future__ import annotations

from typing import Any

from MeWMLib.core.allergens import GROUPS
from MeWMLib.core.clinical import PERMITTED, field_table
from MeWMLib.core.clinical_fields import FieldInfo


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what `Clinical.from_json` reads.

    It accepts what is written in canonical form; the reader also takes other names ("F", "Vp4"), see docs/CLINICAL.md.
    """
    properties: dict[str, Any] = {}
    for name, info in field_table().items():
        properties[name] = {"description": _describe(info), "anyOf": [_type_of(name, info), {"type": "null"}]}
        for key, (unit, factor) in info.others.items():
            span = {"minimum": info.low / factor, "maximum": info.high / factor}
            properties[key] = {
                "description": f"{info.title} in {unit}, in place of {name}",
                "anyOf": [{"type": "number", **span}, {"type": "null"}],
            }
    properties["child_pugh"] = {
        "description": "Child-Pugh class, points or both, in place of child_pugh_class",
        "type": ["string", "integer", "null"],
    }
    properties[PERMITTED] = {
        "description": "What each field may be, as the template says it; not read",
        "type": "object",
        "additionalProperties": {"type": "string"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Clinical data of a patient",
        "description": "All fields are optional; null is not known. No name, date or id belongs here.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _describe(info: FieldInfo) -> str:
    unit = f", {info.unit}" if info.unit else ""
    return info.title + unit + (f"; {info.help}" if info.help else "")


def _type_of(name: str, info: FieldInfo) -> dict[str, Any]:
    if info.kind == "flag":
        return {"type": "boolean"}
    if info.kind == "choice":
        # the class may be written with the points
        return {"type": "string", "pattern": "[A-Ca-c]"} if name == "child_pugh_class" else {"enum": list(info.choices)}
    if info.kind == "list":
        return {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 20}
    number = {
        "type": "integer" if info.kind == "whole" else "number",
        "minimum": info.low,
        "maximum": info.high,
    }
    if not info.others:
        return number
    units = [info.unit, *(unit for unit, _ in info.others.values())]
    with_unit = {
        "type": "object",
        "additionalProperties": False,
        "required": ["value", "unit"],
        "properties": {"value": {"type": "number"}, "unit": {"enum": units}},
    }
    return {"anyOf": [number, with_unit]}


def markdown_table() -> str:
    """The fields as a table for docs/CLINICAL.md."""
    lines = ["| field | what | may be | also read as |", "|---|---|---|---|"]
    for name, info in field_table().items():
        what = info.title + (f": {info.help}" if info.help else "")
        lines.append(f"| `{name}` | {what} | {info.range_text} | {_also(name, info)} |")
    return "\n".join(lines)


def _also(name: str, info: FieldInfo) -> str:
    if info.others:
        return ", ".join(f"`{key}` ({unit})" for key, (unit, _) in info.others.items())
    if name == "allergies":
        return "; ".join(f"{group}: {', '.join(words.split('|')[1:4])} ..." for group, words in GROUPS.items())
    if info.kind == "choice":
        found: dict[str, list[str]] = {}
        for word, choice in info.synonyms.items():
            found.setdefault(choice, []).append(word)
        return "; ".join(f"{choice}: {', '.join(words[:4])}" for choice, words in found.items())
    return ""
