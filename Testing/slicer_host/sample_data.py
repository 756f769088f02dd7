"""A small `SampleData`: the list of samples, with the demands that Slicer's own makes of each entry."""

from __future__ import annotations

import types
from typing import Any

import slicer

_FIELDS = ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileTypes")


class SampleDataSource:
    """One entry. One address is a text, several are a list; then every other field is a list as long."""

    def __init__(
        self, sampleName: str, customDownloader: Any = None, thumbnailFileName: str = "", **fields: Any
    ) -> None:
        self.sampleName, self.customDownloader, self.thumbnailFileName = sampleName, customDownloader, thumbnailFileName
        one = isinstance(fields.get("uris"), str)
        for name in _FIELDS:
            value = fields.pop(name, None)
            if not one and value is None and name not in ("uris", "fileNames"):
                value = [None] * len(fields["uris"] if "uris" in fields else self.uris)
            setattr(self, name, [value] if one else value)
        if fields:
            message = f"Sample Data knows no {sorted(fields)}"
            raise TypeError(message)
        # as in Slicer, nothing at all has no length
        if len({len(getattr(self, name)) for name in _FIELDS}) != 1:
            message = "All fields of sample data source must have the same length"
            raise ValueError(message)

    def __eq__(self, other: object) -> bool:
        return str(vars(self)) == str(vars(other))

    __hash__ = None  # type: ignore[assignment]


class SampleDataLogic:
    """Holds the entries where Slicer holds them: in `slicer.modules.sampleDataSources`, by category."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", sampleName: str = "", **fields: Any) -> None:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        # before the entry is made, as in Slicer: an entry that is refused leaves an empty category
        entries = slicer.modules.sampleDataSources.setdefault(category, [])
        source = SampleDataSource(sampleName, **fields)
        if source not in entries:
            entries.append(source)


def make_module() -> types.ModuleType:
    """The module `SampleData`."""
    module = types.ModuleType("SampleData")
    module.SampleDataLogic, module.SampleDataSource = SampleDataLogic, SampleDataSource
    return module
