"""One real patient scanned before and after TACE: is the simulated CT nearer to the real one than no change is?

The scan after treatment is registered to the one before (`perception/registration.py`). One patient is an example, no
evidence: every figure has n = 1 and no interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.io import read_volume, write_json
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import TUMOUR, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.evaluation.known_patients import Image, coded_change, mean_error
from MeWMLib.lab.evaluation.metrics import Rows, exact, jsonable
from MeWMLib.lab.evaluation.montage import Tile, write_tiles
from MeWMLib.lab.evaluation.work import Say, read_case, silent
from MeWMLib.perception.findings import LIPIODOL_HU
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registration, register
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch

#: Voxels of the codec's second figure: Lipiodol that no tissue reaches.
DENSE_HU = 250.0

Mask = NDArray[np.bool_]


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Compare what the arguments name; rows, and on whom."""
    before, labels = read_case(args.before, args.labels, args.label_values)
    protocol, after = Protocol.parse(args.protocol), read_volume(Path(args.after))
    rows = evaluate_real_pair(
        find_bundle(args.bundle), before, labels, after, protocol, args.out, args.replicas, args.seed, say=say
    )
    return rows, "one real pair"


def evaluate_real_pair(
    bundle: Bundle,
    pre_ct: Volume,
    pre_labels: LabelMap,
    post_ct: Volume,
    protocol: Protocol,
    out: Path,
    replicas: int = 3,
    seed: int = 0,
    registration: Registration | None = None,
    say: Say = silent,
) -> Rows:
    """Simulate the protocol that was given and compare with the real scan after it.

    Rows: `mewm` (mean of the replicas), `copy_pre`, `codec` (the real scan through the bundle's autoencoder, what no
    simulation by it can beat).

    Metrics on the treated patch: `tumour_mae_hu` in the dilated tumour (inside the window);
    `lipiodol_volume_error` in ml within the outline before treatment; `lipiodol_ml` itself, and of the real scan in the
    row `real_post`; for the codec `tumour_psnr_db` and `lipiodol_psnr_db` (voxels of `DENSE_HU` and more), against the
    window's width of 775 HU.

    Args:
        bundle: never trained on this post-treatment scan, if this is to be a test.
        pre_ct, pre_labels: before, on one grid.
        post_ct: after, on any grid near the same place.
        protocol: what the patient was given.
        out: folder for `real_pair.png` and `registration.json`.
        replicas, seed: of the simulation.
        registration: settings.
        say: progress.

    Raises:
        NoTumourError: the labels hold no tumour.
        GeometryMismatchError: the scans do not overlap, or the registered scan does not cover the tumour.
    """
    say("registration", 0.0)
    moved = register(pre_ct, pre_labels, post_ct, registration or Registration())
    world = WorldModel.load(bundle)
    patient = world.patient(pre_ct, pre_labels, id="real pair")
    patch = TreatedPatch.of(patient)
    reached = resample(moved.covered.astype(np.uint8), pre_ct.geometry, patch.geometry, "nearest", 0) > 0
    tumour = patch.labels == TUMOUR
    share = float(reached[tumour].mean())
    if share < 0.5:
        raise GeometryMismatchError(
            what="The registered scan after treatment does not cover the tumour",
            given=f"{100 * share:.0f} % of the tumour in the patch",
            remedy="Give a scan of the whole liver",
        )
    say("simulation", 0.4)
    outcomes = world.simulate(patient, protocol, replica_seeds(seed, replicas), PlanSettings(replicas=replicas))
    images = [resample(o.ct.array, o.ct.geometry, patch.geometry).astype(np.float32) for o in outcomes]
    simulated = np.mean(images, axis=0)
    truth = resample(moved.ct.array, pre_ct.geometry, patch.geometry).astype(np.float32)
    say("measures", 0.8)
    inside, counted = (patch.weight > 0) & reached, tumour & reached
    ml = patch.geometry.voxel_ml
    real_oil = float((truth[counted] >= LIPIODOL_HU).sum()) * ml
    values: dict[str, dict[str, float]] = {"real_post": {"lipiodol_ml": real_oil}}
    for row, drawn in (("mewm", images), ("copy_pre", [patch.hu])):
        oil = float(np.mean([(i[counted] >= LIPIODOL_HU).sum() for i in drawn])) * ml
        values[row] = {
            "tumour_mae_hu": mean_error(np.mean(drawn, axis=0), truth, inside),
            "lipiodol_volume_error": abs(oil - real_oil),
            "lipiodol_ml": oil,
        }
    values["codec"] = codec_figures(Autoencoder.from_part(*bundle.part("autoencoder")), patch.hu, truth, counted)
    quality = {name: round(value, 4) for name, value in {**moved.quality, "tumour_covered": share}.items()}
    write_json(jsonable(quality), out / "registration.json")
    write_picture(out / "real_pair.png", patch, simulated, truth, protocol)
    say("done", 1.0)
    return {row: {m: exact(v) for m, v in figures.items()} for row, figures in values.items()}


def psnr(image: Image, truth: Image, inside: Mask) -> float:
    """Peak signal to noise ratio (dB) in `inside`, against the window's width; NaN if nothing is inside."""
    if not inside.any():
        return float("nan")
    squared = (np.clip(image, *CT_WINDOW_HU).astype(np.float64) - np.clip(truth, *CT_WINDOW_HU))[inside] ** 2
    width = CT_WINDOW_HU[1] - CT_WINDOW_HU[0]
    return float(10 * np.log10(width**2 / max(float(squared.mean()), 1e-12)))


def codec_figures(codec: Autoencoder, before: Image, after: Image, tumour: Mask) -> dict[str, float]:
    """How well the codec holds the scan after treatment in the tumour.

    `tumour_psnr_db` and `lipiodol_psnr_db`: encoded and decoded by itself. `tumour_residual_psnr_db`: as the dynamics
    model uses the codec, x_pre + Dec(z_post - z_pre). `tumour_mae_hu` is of that too.
    """
    with torch.inference_mode():
        alone = codec.decode(codec.encode(torch.from_numpy(after)[None, None]))[0, 0].numpy()
    residual = coded_change(codec, before, after)
    return {
        "tumour_psnr_db": psnr(alone, after, tumour),
        "lipiodol_psnr_db": psnr(alone, after, tumour & (after >= DENSE_HU)),
        "tumour_residual_psnr_db": psnr(residual, after, tumour),
        "tumour_mae_hu": mean_error(residual, after, tumour),
    }


def write_picture(path: Path, patch: TreatedPatch, simulated: Image, truth: Image, protocol: Protocol) -> None:
    """PNG: before, simulated, real after (registered), simulated minus real; the slice with most tumour."""
    tumour = patch.labels == TUMOUR
    k = int(tumour.sum((1, 2)).argmax())
    outline = tumour[k]
    tiles = [
        Tile(patch.hu[k], "before", outline),
        Tile(simulated[k], f"simulated: {protocol.text}", outline, simulated=True),
        Tile(truth[k], "real scan after, registered", outline),
        Tile((simulated - truth)[k], "simulated minus real (HU)", outline, simulated=True, difference=True),
    ]
    write_tiles(path, [tiles])
