"""`mewm clinical`: a form to fill in, its schema, and a check of what was filled in."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core.clinical import Clinical, field_table, template
from MeWMLib.core.clinical_schema import json_schema
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import write_json
from MeWMLib.core.liver_function import child_pugh_class


def clinical(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm clinical template [FILE]`, `mewm clinical schema [FILE]` and `mewm clinical check FILE`."""
    if arguments.action != "check":
        made = template() if arguments.action == "template" else json_schema()
        if not arguments.file:
            # the result is JSON in either case
            print(json.dumps(made, indent=2, ensure_ascii=False))  # noqa: T201
            return 0
        file = Path(arguments.file).expanduser()
        if file.exists():
            raise InputError(what="The file is there already", given=str(file), remedy="Give another name")
        write_json(made, file)
        output.show({"file": str(file)}, f"Written: {file}")
        return 0
    if not arguments.file:
        raise InputError(what="No file was given", remedy="Write `mewm clinical check patient.json`")
    found = Clinical.load(Path(arguments.file).expanduser())
    table, known = field_table(), found.to_json()
    missing = [name for name in table if name not in known and found.known(name) is None]
    made = {"albi_grade": found.albi_grade, "computed_child_pugh": found.computed_child_pugh}
    contradiction = found.child_pugh_contradiction
    data = {"clinical": known, **made, "contradiction": contradiction, "missing": missing}
    lines = [f"{table[name].title}: {table[name].shown(value)}" for name, value in known.items()]
    if found.albi_grade is not None:
        lines.append(f"ALBI grade: {found.albi_grade} (score {found.albi_score:.2f})")
    if (points := found.computed_child_pugh) is not None:
        lines.append(f"Child-Pugh by these values: {child_pugh_class(points)} ({points} points)")
    if contradiction:
        lines.append(f"Contradiction, Child-Pugh: {contradiction}: correct one of them")
    output.show(data, *lines, f"Not known: {', '.join(missing) or 'nothing'}")
    return 0
