"""How the header of an image file says that its volume is simulated, and by what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.records import parse_json
from MeWMLib.core.volume import Provenance

#: What `descrip` of a NIfTI file says of a simulated volume: the only place of its header that holds text.
NIFTI_MARK = "SIMULATED by MeWM, research use only"
#: Key in the header of every image of a reader study. It does not say whether the image is simulated, so MeWM treats
#: all of them as simulated outside of the study.
STUDY_KEY = "MeWM_READER_STUDY"
#: Begins the description of a DICOM series that shows what no scanner saw.
SERIES_MARK = "SIMULATED"


def marks_of(simulated: Provenance) -> dict[str, str]:
    """Keys of the header that mark a file as simulated and say by what."""
    known = simulated.to_json()
    marks = {f"MeWM_{key}": str(known[key]) for key in ("protocol", "seed", "bundle", "bundle_sha256")}
    marks = {"MeWM_SIMULATED": "1", **marks, "MeWM_versions": json.dumps(known["versions"])}
    return {**marks, "MeWM_forbidden": simulated.forbidden} if simulated.forbidden else marks


def provenance_of(metadata: Mapping[str, str]) -> Provenance | None:
    """What the keys of a header say of a simulated volume; None for a scan.

    Raises:
        UnreadableFileError: it is marked as simulated and does not say by what.
    """
    if metadata.get("descrip") == NIFTI_MARK:
        return Provenance("a protocol that its file does not name", 0, "", "")
    if STUDY_KEY in metadata:
        return Provenance("a protocol that a reader study does not name", 0, "", "")
    if metadata.get("MeWM_SIMULATED") != "1":
        return None
    try:
        seed, versions = (
            int(metadata["MeWM_seed"]),
            parse_json(metadata.get("MeWM_versions", "{}"), "versions", UnreadableFileError, require={}),
        )
        return Provenance(
            metadata["MeWM_protocol"], seed, metadata["MeWM_bundle"], metadata["MeWM_bundle_sha256"], dict(versions),
            metadata.get("MeWM_forbidden", ""),
        )  # fmt: skip
    except (KeyError, ValueError, UnreadableFileError) as error:
        raise UnreadableFileError(
            what="The file is marked as simulated but does not say by what",
            given=f"MeWM header keys: {', '.join(sorted(metadata))}",
            remedy="Use the file that MeWM wrote",
        ) from error


def provenance_of_series(description: str, image_type: Sequence[str]) -> Provenance | None:
    """What description and ImageType (in upper case) of a DICOM series say of a simulated volume; None for a scan."""
    derived = list(image_type[:1]) == ["DERIVED"]
    if not derived or not description.startswith(f"{SERIES_MARK} "):
        return None
    return Provenance(description.removeprefix(SERIES_MARK).strip(), 0, "", "")
