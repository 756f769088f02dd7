"""Scenes as Slicer's .mrb files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import OutputError
from MeWMLib.core.io import atomic_path
from MeWMLib.scene.core_app import vtk_errors


def write_mrb(scene: Any, path: Path) -> None:
    """Write a scene as an .mrb file, which is there whole or not at all.

    Raises:
        OutputError: the file cannot be written, or Slicer reports an error while writing.
    """
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory(prefix=".mewm-", dir=path.parent) as folder:
        # The name of the file becomes the name of the folder inside it, so it must be the final one from the start.
        file = Path(folder) / path.name
        before = Path.cwd()
        try:
            with vtk_errors() as errors:
                done = scene.WriteToMRB(str(file), None)
        finally:
            # Slicer's archive code enters the folder that it packs, and after an error it stays there.
            os.chdir(before)
        # WriteToMRB may return True although a part was not written.
        if not done or errors or not file.is_file():
            raise OutputError(
                what="Slicer's core could not write the scene",
                given=f"{path} ({errors[0][:200] if errors else 'no reason given'})",
                remedy="Check the free space on the disk, or leave the scene out with --no-scene",
            )
        file.replace(temporary)
