"""Copies of a plan's volumes in other formats, for programs that read no NRRD.

The plan itself stays in NRRD, which carries layers of segments and whole provenance. A copy says that it is simulated
in its name, in its header as far as the format can, and in a JSON file beside it, which also says what labels mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core import io
from MeWMLib.core.errors import InputError
from MeWMLib.core.marks import NIFTI_MARK, marks_of
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_document import PlanDocument
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.tissue_labels import SEGMENTS, read_tissue
from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Provenance, Volume

NRRD, NIFTI, MHA = FORMATS = ("nrrd", "nifti", "mha")
_SUFFIX = {NIFTI: ".nii.gz", MHA: ".mha"}


def write_copies(folder: PlanFolder, kind: str, progress: Callable[[float, str], None] | None = None) -> list[str]:
    """Write the CT, the labels and every simulated volume of a plan once more, into a folder named as the format.

    Args:
        folder: of a whole plan.
        kind: one of `FORMATS`; nothing is written for "nrrd", which the plan is in.
        progress: called with the finished share (0 to 1) and a message.

    Returns:
        The files, relative to the folder; their checksums are noted in run.json.

    Raises:
        InputError: no such format.
        UnreadableFileError: the plan is not as it was written.
        OutputError: a file cannot be written.
    """
    if kind not in FORMATS:
        raise InputError(what="Volumes are not written in this format", given=kind, remedy=f"Use {', '.join(FORMATS)}")
    if kind == NRRD:
        return []
    document = folder.read(verify="plan")
    before, labels = folder.read_before(document)
    copies = _Copies(folder.path, kind)
    copies.scan("pre", before, {"what": "the CT before treatment"})
    copies.labels("pre_labels", labels, {}, None)
    rows: list[Candidate] = [c for c in document.plan.candidates if c.files]
    for n, candidate in enumerate(rows):
        if progress is not None:
            progress(n / len(rows), f"Writing rank {candidate.rank} as {kind}")
        _outcome(copies, folder, document, candidate, before)
    folder.record_made(copies.names)
    return copies.names


def _outcome(copies: _Copies, folder: PlanFolder, document: PlanDocument, candidate: Candidate, before: Volume) -> None:
    kept = folder.read_candidate(document, candidate, before, deviation=False)
    simulated = document.provenance(candidate)
    stem = f"SIMULATED_{candidate.rank:02d}" if candidate.rank else "SIMULATED_mine"
    copies.scan(stem, kept.ct, {"what": "the simulated CT after treatment", **simulated.to_json()})
    copies.labels(f"{stem}_labels", kept.labels, read_tissue(folder.path / candidate.files["labels"]), simulated)


class _Copies:
    """Writes copies and remembers their names."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self.names: list[str] = []

    def scan(self, stem: str, volume: Volume, facts: Mapping[str, Any]) -> None:
        """A CT in HU."""
        self._write(stem, volume.array, volume, facts, volume.simulated)

    def labels(
        self, stem: str, labels: LabelMap, tissue: Mapping[str, NDArray[np.bool_]], simulated: Provenance | None
    ) -> None:
        """Labels in one layer: what the tumour consists of takes the place of the tumour, where that is known."""
        array, names = labels.array.copy(), {str(LIVER): "Liver", str(TUMOUR): "Tumour"}
        for segment in SEGMENTS:
            if segment.name in tissue:
                array[tissue[segment.name] & labels.tumour] = segment.value
                names[str(segment.value)] = f"{segment.name} (a part of the tumour)"
        facts = {"what": "labels", "labels": names} | ({} if simulated is None else simulated.to_json())
        self._write(stem, array, labels, facts, simulated)

    def _write(
        self,
        stem: str,
        array: NDArray[Any],
        source: Volume | LabelMap,
        facts: Mapping[str, Any],
        simulated: Provenance | None,
    ) -> None:
        marks: dict[str, str] = {}
        if simulated is not None:
            # a file of NIfTI has 79 letters of text, which ITK takes from this key
            marks = {"ITK_FileNotes": NIFTI_MARK} if self._kind == NIFTI else marks_of(simulated)
        name = f"{self._kind}/{stem}{_SUFFIX[self._kind]}"
        (self._folder / self._kind).mkdir(exist_ok=True)
        io.write_values(array, source.geometry, marks, self._folder / name)
        beside = f"{self._kind}/{stem}.json"
        io.write_json({"file": Path(name).name, **facts}, self._folder / beside)
        self.names += [name, beside]
