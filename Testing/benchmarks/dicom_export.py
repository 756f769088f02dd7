"""Exporting a plan as DICOM against writing the same pixels by pydicom alone, in one run: seconds and peak memory.

`python Testing/benchmarks/dicom_export.py [--shape 100 512 512] [--repeats 3] [--json FILE]`; exit code 1 if a limit is
exceeded. The plan has three simulated CTs. pydicom writes every pixel that the export writes (four series of CT images,
the frames of segmentations and of parametric maps) from arrays in memory, with a dataset for each slice and an item for
each frame. The export also reads the plan and checks its files, measures lesions, draws segments, and writes a report
and a summary. So further figures are given beside: against the CT series of pydicom alone, its own CT series alone, and
the whole against a script that reads the same four volumes by SimpleITK and writes them by pydicom. With `--pacs
TITLE@HOST:PORT` the export is pushed there by `mewm push` and by DCMTK's `storescu`, each onto new UIDs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk

from MeWMLib.core.io import from_sitk
from MeWMLib.core.volume import Geometry, Provenance, Volume
from MeWMLib.exchange import ct_series, transfer
from MeWMLib.exchange.address import PacsAddress
from MeWMLib.exchange.clients import connect
from MeWMLib.exchange.export import ExportSettings, export_plan
from MeWMLib.exchange.study import synthetic

sys.path.insert(0, str(Path(__file__).parents[1] / "scene"))
import plan_folders  # noqa: E402

#: Most seconds relative to pydicom, most memory relative to the voxels of one volume, least share of storescu's speed.
SECONDS_LIMIT, MEMORY_LIMIT, PUSH_LIMIT = 1.3, 1.5, 0.8
OUTCOMES = 3


def main() -> None:
    """Write a plan, time both in turns, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(100, 512, 512), metavar=("K", "J", "I"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--pacs", metavar="TITLE@HOST:PORT", help="measure pushing too; the objects stay there")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # what, folder; prints seconds and peak
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_plan(folder / "plan", tuple(args.shape))
        write_plan(folder / "small", (12, 96, 96))
        export_plan(folder / "plan", folder / "whole", ExportSettings())
        kinds = ("pydicom", "pydicom_ct", "script", "export", "series")
        runs: dict[str, list[dict[str, float]]] = {what: [] for what in kinds}
        for _ in range(args.repeats):
            for what, found in runs.items():
                found.append(run_child(what, folder))
        volume = 2 * float(np.prod(args.shape))
        seconds = {what: median(one["seconds"] for one in found) for what, found in runs.items()}
        cpu = {what: median(one["cpu"] for one in found) for what, found in runs.items()}
        memory = {what: median(one["peak"] for one in found) / volume for what, found in runs.items()}
        figures: dict[str, Any] = {
            "shape": list(args.shape),
            "seconds": seconds,
            # of all cores: what other programs do at the same time shows in the seconds alone
            "cpu_seconds": cpu,
            "memory_volumes": memory,
            "ratio_all": seconds["export"] / seconds["pydicom"],
            "cpu_ratio_all": cpu["export"] / cpu["pydicom"],
            "ratio_ct": seconds["export"] / seconds["pydicom_ct"],
            "ratio_script": seconds["export"] / seconds["script"],
            "ratio_series": seconds["series"] / seconds["pydicom_ct"],
        }
        if args.pacs:
            figures["push"] = push_figures(folder, args.pacs)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    over = figures["ratio_all"] > SECONDS_LIMIT or memory["export"] > MEMORY_LIMIT
    if over or (args.pacs and figures["push"]["share"] < PUSH_LIMIT):
        print("EXCEEDED")
        raise SystemExit(1)


def write_plan(folder: Path, shape: tuple[int, ...]) -> None:
    """A plan of three outcomes on a grid of this shape: a body, a liver, a tumour."""
    affine = np.array([[-0.75, 0, 0, 190.0], [0, -0.75, 0, 190.0], [0, 0, 2.5, -120.0], [0, 0, 0, 1]])
    k, j, i = (np.linspace(-1, 1, n)[s] for n, s in zip(shape, np.ix_(*[range(n) for n in shape]), strict=True))
    body = np.broadcast_to((j / 0.8) ** 2 + (i / 0.9) ** 2 < 1, shape)
    liver = (k / 0.7) ** 2 + ((j + 0.1) / 0.45) ** 2 + ((i + 0.3) / 0.45) ** 2 < 1
    tumour = (k / 0.2) ** 2 + ((j + 0.1) / 0.12) ** 2 + ((i + 0.35) / 0.12) ** 2 < 1
    hu = np.where(liver, 110, np.where(body, 20, -1000)).astype(np.float32)
    hu[tumour] = 70
    hu += np.random.default_rng(0).normal(0, 12, shape).astype(np.float32)
    labels = liver.astype(np.uint8) + tumour
    ct = np.maximum(hu, -1024).astype(np.int16)
    plan_folders.write_plan_folder(folder, ct, labels, Geometry(shape, affine), keep=OUTCOMES)


def run_child(what: str, folder: Path) -> dict[str, float]:
    """Seconds and bytes of one run in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    shutil.rmtree(folder / "out", ignore_errors=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(what: str, folder: Path) -> None:
    """One run; a small export was made and the arrays of the two series writers are there before the clock starts.

    The small one brings modules, and tables of highdicom that take 1.5 volumes by themselves, whatever is exported.
    """
    from MeWMLib.core.plan_folder import PlanFolder

    export_plan(folder / "small", folder / "out" / "small", ExportSettings())
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far is that of now
    cpu = time.process_time()
    if what == "export":
        before = peak_kib()
        start = time.perf_counter()
        export_plan(folder / "plan", folder / "out" / "dicom", ExportSettings())
        seconds = time.perf_counter() - start
    elif what == "script":
        before = peak_kib()
        start = time.perf_counter()
        by_script(folder / "plan", folder / "out")
        seconds = time.perf_counter() - start
    else:
        ct = PlanFolder(folder / "plan").read_ct(PlanFolder(folder / "plan").read())
        array = np.asarray(ct.array, np.int16)
        study = synthetic(ct, "benchmark")
        made_by = Provenance("Lipiodol", 1, "bundle", "0" * 64)
        frames = [read_frames(p) for p in sorted((folder / "whole").glob("*.dcm"))] if what == "pydicom" else []
        before, cpu = peak_kib(), time.process_time()
        start = time.perf_counter()
        # the export of a made-up study writes the scan too
        for n in range(OUTCOMES + 1):
            if what == "series":
                ct_series.write_simulated(folder / "out" / str(n), study, enumerate(array), n, "title", made_by, None)
            else:
                by_pydicom(folder / "out" / str(n), study, array, made_by)
        for n, one in enumerate(frames):
            if one is not None:
                frames_by_pydicom(folder / "out" / f"{n}.dcm", *one)
        seconds = time.perf_counter() - start
    cpu = time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": 1024.0 * (peak_kib() - before)}))


def by_script(plan: Path, out: Path) -> None:
    """What a script of SimpleITK and pydicom does that has the plan and not its voxels: read, write, check nothing."""
    made_by = Provenance("Lipiodol", 1, "bundle", "0" * 64)
    names = ["pre.nrrd", *(f"simulated_{n:02d}.nrrd" for n in range(1, OUTCOMES + 1))]
    study = None
    for n, name in enumerate(names):
        array, geometry = from_sitk(sitk.ReadImage(str(plan / name)))
        study = study or synthetic(Volume(array, geometry), "benchmark")
        by_pydicom(out / str(n), study, array, made_by)


def peak_kib() -> int:
    """Highest memory of this process so far; that of `resource` counts what the parent had at the start too."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def by_pydicom(folder: Path, study: Any, array: np.ndarray, made_by: Provenance) -> None:
    """The same attributes and pixels, a dataset for each slice, as pydicom's own documentation does it."""
    from MeWMLib.exchange.ct_series import CT_CLASS

    folder.mkdir(parents=True)
    series = pydicom.uid.generate_uid()
    for n, one in enumerate(study.slices):
        data = ct_series._shared(study, series, 1, "SIMULATED title", ["DERIVED", "SECONDARY", "AXIAL"])
        data.Manufacturer, data.DerivationDescription = "x", "Simulated CT after " + made_by.protocol
        data.SOPInstanceUID = pydicom.uid.generate_uid()
        data.InstanceNumber, data.ImagePositionPatient = n + 1, list(one.position)
        source = pydicom.Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = one.sop_class, one.sop
        data.SourceImageSequence = [source]
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.MediaStorageSOPClassUID = CT_CLASS
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.PixelData = array[n].tobytes()
        data.save_as(folder / f"{n + 1:04d}.dcm", enforce_file_format=True)


def read_frames(path: Path) -> tuple[Any, np.ndarray, list[tuple[Any, ...]]] | None:
    """What all frames of an object of the export share, its frames, and what is said of each; None without frames."""
    data = pydicom.dcmread(path)
    if "PerFrameFunctionalGroupsSequence" not in data:
        return None
    frames = []
    for item in data.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        shown = item.get("SegmentIdentificationSequence")
        index = np.atleast_1d(item.FrameContentSequence[0].DimensionIndexValues).tolist()
        position = list(item.PlanePositionSequence[0].ImagePositionPatient)
        number = int(shown[0].ReferencedSegmentNumber) if shown else None
        frames.append((index, position, str(source.ReferencedSOPInstanceUID), number))
    pixels = data.pixel_array.reshape(len(frames), data.Rows, data.Columns).copy()
    for name in ("PixelData", "FloatPixelData"):
        data.pop(name, None)
    del data.PerFrameFunctionalGroupsSequence
    return data, pixels, frames


def frames_by_pydicom(path: Path, data: Any, pixels: np.ndarray, frames: list[tuple[Any, ...]]) -> None:
    """The same frames and attributes, a dataset for the groups of each frame."""
    from MeWMLib.exchange.ct_series import CT_CLASS

    items = []
    for index, position, sop, segment in frames:
        item, derived, source, content, place = (pydicom.Dataset() for _ in range(5))
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = CT_CLASS, sop
        derived.SourceImageSequence = [source]
        content.DimensionIndexValues, place.ImagePositionPatient = index, position
        item.DerivationImageSequence, item.FrameContentSequence, item.PlanePositionSequence = (
            [derived],
            [content],
            [place],
        )
        if segment is not None:
            shown = pydicom.Dataset()
            shown.ReferencedSegmentNumber = segment
            item.SegmentIdentificationSequence = [shown]
        items.append(item)
    data.PerFrameFunctionalGroupsSequence = items
    if pixels.dtype == np.float32:
        data.FloatPixelData = pixels.tobytes()
    else:
        data.PixelData = pydicom.pixels.pack_bits(pixels)
        data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def push_figures(folder: Path, place: str) -> dict[str, float]:
    """Megabytes a second of `mewm push` and of storescu, each of an export of its own."""
    title, _, rest = place.partition("@")
    host, _, port = rest.rpartition(":")
    speeds = {}
    for what in ("mewm", "storescu"):
        out = folder / what
        export_plan(folder / "plan", out, ExportSettings())
        size = sum(p.stat().st_size for p in out.rglob("*.dcm")) / 2**20
        files = [p for p in sorted(out.rglob("*.dcm")) if not p.name.endswith("_sd.dcm")]
        start = time.perf_counter()
        if what == "mewm":
            # without the verification before and the question afterwards, which storescu does not do
            client = connect(PacsAddress.parse(f"dimse:{place}", False))
            client.store(transfer.outgoing(out), lambda _: None)
        else:
            command = ["/usr/bin/storescu", "-R", "-aec", title, host, port, *map(str, files)]
            subprocess.run(command, check=True, capture_output=True)
        speeds[what] = size / (time.perf_counter() - start)
    return {**speeds, "share": speeds["mewm"] / speeds["storescu"]}


if __name__ == "__main__":
    main()
