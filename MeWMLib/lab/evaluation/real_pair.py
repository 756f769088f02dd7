"""`mewm evaluate real-pair`: one patient scanned before and after TACE. Is the simulated CT nearer than no change is?

The scan after treatment is registered to the one before, and every prediction is held against it on one fixed grid
(`pair_measures.py`, docs/JUDGE.md). One patient is an example, no evidence: every figure has n = 1 and no interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.io import write_json
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import TUMOUR, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.evaluation.known_patients import Image, coded_change, mean_error
from MeWMLib.lab.evaluation.metrics import Rows, jsonable
from MeWMLib.lab.evaluation.montage import LARGE_INCHES, Tile, write_tiles
from MeWMLib.lab.evaluation.pair_measures import lipiodol_figures, on_grid, seen, with_ratios
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pair_rows import Shift, baselines
from MeWMLib.lab.evaluation.pair_simulated import CubeSimulated, Simulated, simulated
from MeWMLib.lab.evaluation.pairs import PairFiles, log_judging
from MeWMLib.lab.evaluation.work import Say, box_of, silent
from MeWMLib.perception.cubes import cube_means, region_of
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registration
from MeWMLib.rendering.painter import expected_image, treated_weight
from MeWMLib.world.model import WorldModel

#: Voxels of the codec's second figure: Lipiodol that no tissue reaches.
DENSE_HU = 250.0
#: Around what is judged in the picture.
PICTURE_MARGIN_MM = 20.0

Mask = NDArray[np.bool_]
Figures = dict[str, dict[str, float]]


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Compare what the arguments name; rows, and on whom."""
    files = PairFiles(
        args.patient,
        Path(args.before),
        Path(args.labels),
        Path(args.after),
        Protocol.parse(args.protocol),
        before_native=Path(args.before_native) if args.before_native else None,
        after_native=Path(args.after_native) if args.after_native else None,
        side=args.side,
        weeks=args.weeks,
        judging=args.judging,
        label_values=args.label_values,
    )
    for line in log_judging(args.out, [files], "mewm evaluate real-pair"):
        say(f"judging, {line}", 0.0)
    say("registration", 0.0)
    pair = PreparedPair.read(files, Registration())
    rows = judge(pair, find_bundle(args.bundle), args.out, args.replicas, args.seed, say=say)
    return as_rows(rows), f"one pair, {described(files)}"


def described(files: PairFiles) -> str:
    """A pair in words: what was given, where, and when the scan after was made."""
    weeks = "weeks not known" if files.weeks is None else f"{files.weeks:g} weeks"
    assumed = "" if files.recorded else " (assumed)"
    return f"{files.patient}: {files.protocol.text}{assumed}, fed side {files.side}, {weeks}"


def as_rows(rows: Mapping[str, Mapping[str, float]]) -> Rows:
    """Figures of one patient: n = 1 and no interval."""
    return {row: {name: {"mean": value, "n": 1} for name, value in found.items()} for row, found in rows.items()}


def judge(
    pair: PreparedPair,
    bundle: Bundle,
    out: Path,
    replicas: int = 3,
    seed: int = 0,
    shift: Shift | None = None,
    world: WorldModel | None = None,
    say: Say = silent,
) -> Figures:
    """Hold simulations and baselines against the scan after treatment: a real one, or that of a drawn patient.

    Rows: `scan_after` (its Lipiodol alone); `mewm_expected`, what is expected; `mewm_territory`, the same told the half
    that the artery fed; `mewm_sampled`, the mean of the figures of each replica, and `mewm_sampled_1` and on, each one;
    those of `pair_rows.baselines`; what no simulation by the bundle can beat: `codec`, the change through its
    autoencoder, or `cubes`, the change in cubes of 4 mm. Metrics: `pair_measures.Truth.figures`, `lipiodol_figures` on
    native voxels, `with_ratios`.

    Args:
        pair: prepared.
        bundle: never trained on this patient, if this is to be a test.
        out: folder for `real_pair.png` and `registration.json`.
        replicas, seed: of the simulation.
        shift: what other pairs changed by; without it the rows that need it are left out.
        world: of the bundle, where it is loaded already.
        say: progress.

    Raises:
        NoTumourError: the labels hold no tumour.
    """
    say("simulation", 0.4)
    world = world or WorldModel.load(bundle)
    files = pair.files
    given = (world, pair.before, pair.labels, files.protocol, replicas, seed, files.weeks)
    made, told = simulated(*given), simulated(*given, side=files.side)
    say("measures", 0.8)
    rows: Figures = {"scan_after": lipiodol_figures(pair.native_after, pair.native_after_inside)}
    rows["mewm_expected"] = _expected(pair, made)
    rows["mewm_territory"] = _expected(pair, told)
    samples = [_sampled(pair, made, n) for n in range(made.count)]
    rows["mewm_sampled"] = {name: float(np.mean([s[name] for s in samples])) for name in samples[0]}
    rows |= {f"mewm_sampled_{n}": figures for n, figures in enumerate(samples, start=1)}
    side = pair.files.side
    native = dict(baselines(pair.native_before, pair.native_labels, side, shift))
    for row, image in baselines(pair.before, pair.labels, side, shift):
        drawn = pair.native_before.with_array(native[row])
        rows[row] = pair.truth.figures(image) | lipiodol_figures(drawn, pair.native_inside)
    if isinstance(made, CubeSimulated):
        rows["codec"] = _codec(pair, made, bundle)
    else:
        rows["cubes"] = _cubes(pair)
    quality = {name: round(value, 4) for name, value in pair.quality.items()}
    about = {"protocol": pair.files.protocol.text, "protocol_recorded": pair.files.recorded, "side": side}
    write_json(jsonable({**quality, **about, "weeks": pair.files.weeks}), out / "registration.json")
    write_picture(out / "real_pair.png", pair, made)
    say("done", 1.0)
    return with_ratios(rows)


def _expected(pair: PreparedPair, made: Simulated) -> dict[str, float]:
    """Figures of the expected scan; what is said of Lipiodol, on native voxels and as a map, is the mean of samples."""
    figures = pair.truth.figures(on_fixed(made.expected(pair.before, pair.labels)))
    drawn = [on_fixed(made.sample(n, pair.before, pair.labels)) for n in range(made.count)]
    figures["lipiodol_map_r"] = pair.truth.lipiodol_map_r(drawn)
    native = [_native(pair, made, n) for n in range(made.count)]
    return figures | {name: float(np.mean([one[name] for one in native])) for name in native[0]}


def _sampled(pair: PreparedPair, made: Simulated, n: int) -> dict[str, float]:
    """Figures of one replica."""
    return pair.truth.figures(on_fixed(made.sample(n, pair.before, pair.labels))) | _native(pair, made, n)


def _native(pair: PreparedPair, made: Simulated, n: int) -> dict[str, float]:
    """Lipiodol of one replica on native voxels."""
    return lipiodol_figures(made.sample(n, pair.native_before, pair.native_labels), pair.native_inside)


def on_fixed(scan: Volume) -> Image:
    """HU of a scan that is on the fixed grid."""
    return scan.array.astype(np.float32)


def _cubes(pair: PreparedPair) -> dict[str, float]:
    """The real change in cubes on the smoothed scan before: what no expected scan by coarse maps can beat."""
    truth, grid = pair.truth, pair.before.geometry
    cubes = region_of(pair.labels.tumour, grid)
    change = cube_means(seen(truth.after) - seen(truth.before), truth.geometry, cubes)
    none = np.zeros(cubes.shape, np.float32)
    box, weight = treated_weight(pair.labels.tumour, grid)
    image = pair.before.array.astype(np.float32)
    image[box] = expected_image(pair.before, box, weight, OutcomeMaps(none, none, change, none, cubes))
    return truth.figures(image)


def _codec(pair: PreparedPair, made: CubeSimulated, bundle: Bundle) -> dict[str, float]:
    """The real change through the autoencoder, as the dynamics model uses it."""
    codec, patch, truth = Autoencoder.from_part(*bundle.part("autoencoder")), made.patch, pair.truth
    after = resample(truth.after, truth.geometry, patch.geometry)
    reached = resample(truth.inside.astype(np.uint8), truth.geometry, patch.geometry, "nearest", 0) > 0
    image = made.added(coded_change(codec, patch.hu, after) - patch.hu, pair.before, pair.labels)
    return {
        **truth.figures(image.array.astype(np.float32)),
        **codec_figures(codec, patch.hu, after, (patch.labels == TUMOUR) & reached),
    }


def psnr(image: Image, truth: Image, inside: Mask) -> float:
    """Peak signal to noise ratio (dB) in `inside`, against the window's width; NaN if nothing is inside."""
    if not inside.any():
        return float("nan")
    squared = (np.clip(image, *CT_WINDOW_HU).astype(np.float64) - np.clip(truth, *CT_WINDOW_HU))[inside] ** 2
    width = CT_WINDOW_HU[1] - CT_WINDOW_HU[0]
    return float(10 * np.log10(width**2 / max(float(squared.mean()), 1e-12)))


def codec_figures(codec: Autoencoder, before: Image, after: Image, tumour: Mask) -> dict[str, float]:
    """How well the codec holds the scan after treatment in the tumour of the treated patch, inside the window.

    `tumour_psnr_db` and `lipiodol_psnr_db` (voxels of `DENSE_HU` and more): encoded and decoded by itself.
    `tumour_residual_psnr_db`: as the dynamics model uses the codec, x_pre + Dec(z_post - z_pre). `tumour_mae_hu` is of
    that too.
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


def write_picture(path: Path, pair: PreparedPair, made: Simulated) -> None:
    """PNG: before, expected, a sample, the scan after (registered), and the differences of the first two to it.

    The axial slice with most tumour, cut around what is judged.
    """
    truth, spacing = pair.truth, pair.truth.geometry.spacing
    k = int(pair.labels.tumour.sum((1, 2)).argmax())
    box = box_of(truth.inside, round(PICTURE_MARGIN_MM / spacing[2]))[1:]
    expected, sample = (
        on_grid(scan, truth.geometry)
        for scan in (made.expected(pair.before, pair.labels), made.sample(0, pair.before, pair.labels))
    )
    outline = pair.labels.tumour[k][box]
    real = truth.after[k][box]

    def drawn(image: Image, title: str) -> Tile:
        return Tile(image[k][box], title, outline, simulated=True)

    def apart(image: Image, title: str) -> Tile:
        return Tile(image[k][box] - real, title, outline, simulated=True, difference=True)

    tiles = [
        Tile(truth.before[k][box], f"{pair.files.patient}, before", outline),
        drawn(expected, f"expected: {made.provenance.protocol}"),
        drawn(sample, "one sample"),
        Tile(real, "scan after, registered", outline),
        apart(expected, "expected minus scan after (HU)"),
        apart(sample, "sample minus scan after (HU)"),
    ]
    write_tiles(path, [tiles[:3], tiles[3:]], LARGE_INCHES)
