"""The arguments of the commands that write DICOM or talk to a PACS; `arguments` makes commands of them."""

from __future__ import annotations

from typing import Any

#: Names and the arguments of `add_argument`.
Option = tuple[tuple[str, ...], dict[str, Any]]


def _option(*names: str, **more: Any) -> Option:
    return names, more


_QUIET = _option("--quiet", action="store_true", help="no progress")
_JSON = _option("--json", action="store_true", help="print the result as JSON, and nothing else")
#: Name, what runs it, what it does, an example, its options.
EXCHANGE: tuple[tuple[str, str, str, str, tuple[Option, ...]], ...] = (
    (
        "export",
        "MeWMLib.cli.exchange:export",
        "write a plan as DICOM objects of a study: segmentations, simulated CTs, reports (docs/DICOM.md)",
        "mewm export out/plan --to dicom --reference path/to/dicom",
        (
            _option("folder", metavar="DIR", help="folder of a plan, or of a cohort of plans"),
            _option("--to", choices=("dicom",), required=True, help="the form"),
            _option("--out", metavar="DIR", help="a new folder (default: DIR-dicom)"),
            _option(
                "--reference",
                metavar="STUDY",
                help="DICOM that was planned on, or its address in a PACS; without it a study is made up",
            ),
            _option("--series", metavar="S", help="which series of it, as for `mewm plan`"),
            _option("--deidentify", action="store_true", help="write a copy that names nobody, with shifted dates"),
            _option("--key-file", metavar="F", help="secret key of opaque ids (default: in the user's data folder)"),
            _option("--no-mark", action="store_true", help="burn no word SIMULATED into simulated CTs"),
            _option("--labelmap", action="store_true", help="segmentations of type LABELMAP, which few PACS take"),
            _QUIET,
            _JSON,
        ),
    ),
    (
        "pull",
        "MeWMLib.cli.exchange:pull",
        "fetch a study or a series from a PACS",
        "mewm pull 'dicomweb:https://pacs.example.org/dicom-web?study=1.2.3' --out out/study",
        (
            _option(
                "address",
                metavar="ADDRESS",
                help="dicomweb:URL?study=UID[&series=UID], or dimse:TITLE@HOST:PORT?study=UID",
            ),
            _option("--out", metavar="DIR", required=True, help="a new folder"),
            _QUIET,
            _JSON,
        ),
    ),
    (
        "push",
        "MeWMLib.cli.exchange:push",
        "send exported DICOM to a PACS",
        "mewm push out/plan-dicom dicomweb:https://pacs.example.org/dicom-web",
        (
            _option("folder", metavar="DIR", help="folder that `mewm export` wrote"),
            _option("address", metavar="ADDRESS", help="dicomweb:URL, or dimse:TITLE@HOST:PORT"),
            _option("--yes-send-images", action="store_true", help="agree to that without being asked"),
            _QUIET,
            _JSON,
        ),
    ),
)
