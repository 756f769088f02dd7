"""Runs the code cells of a notebook as Jupyter would, and prints what each shows, as JSON.

    python docs/site/run_notebook.py NOTEBOOK     a list with "text" and "pictures" (PNG in base64) of each cell

No kernel is needed: cells share one namespace, the value of a last expression is shown, and so are figures.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def run_cell(source: str, names: dict[str, Any]) -> str:
    """Run a cell and return what it prints and what it ends with."""
    printed = io.StringIO()
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return printed.getvalue() + ("" if value is None else f"{value!r}\n")


def pictures() -> list[str]:
    """Figures that are open, which are then closed."""
    if "matplotlib.pyplot" not in sys.modules:
        return []
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        png = io.BytesIO()
        pyplot.figure(number).savefig(png, format="png", dpi=80, bbox_inches="tight")
        found.append(base64.b64encode(png.getvalue()).decode())
    pyplot.close("all")
    return found


def main(path: Path) -> None:
    """Run a notebook."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.show = lambda *_, **__: None  # figures are taken after the cell
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            shown.append({"text": run_cell("".join(cell["source"]), names), "pictures": pictures()})
    sys.stdout.write(json.dumps(shown))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
