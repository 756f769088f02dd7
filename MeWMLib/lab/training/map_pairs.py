"""A real pair as the arrays that the map network is trained on, with what is not known of it.

The arrays are those of `map_cohort.encode_maps` with one session. A drawn patient is known everywhere; of a real pair
each target has a mask of the cubes where the two scans tell it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.identity import is_judged
from MeWMLib.core.coarse_maps import SEEN_HU, FloatArray, seen_hu
from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.actions import encode_protocols
from MeWMLib.lab.evaluation.carry import carried
from MeWMLib.lab.evaluation.look_noise import noise_look
from MeWMLib.lab.evaluation.pair_measures import HU_PER_MG_ML, fed_half, judged_region, seen
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.training.map_cohort import COARSE_NOISE
from MeWMLib.lab.training.map_oil import separated
from MeWMLib.perception.cubes import cube_means, region_of
from MeWMLib.perception.deposits import LIPIODOL_HU
from MeWMLib.perception.phase import phase_of
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.viability import BESIDE_OIL_MM, liver_reference, tissue_of

#: Share of a cube that has to be covered; that may be gas in one scan only; that has to be tissue for its HU to count.
COVERED, APART, BARE = 0.95, 0.1, 0.05
#: Ends of the factor of `_kept`.
KEPT = (0.5, 1.5)
#: Of the tumour in a cube, what may be neither dead nor viable (beside oil, partial volumes) if it is to count.
UNTOLD = 0.5
#: Structures that were dense before are found in a mean of this width; the registration may be off by so much.
DENSE_MM, OFF_MM = 1.5, 6.0
#: HU of noise in the voxels of a scan whose liver is not seen enough to measure it.
USUAL_NOISE_HU = 20.0

Mask = NDArray[np.bool_]
Maps = dict[str, FloatArray]


def encode_pair(pair: PreparedPair, agents: list[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a real pair on a grid of (d, h, w) cubes around all of its tumour.

    Args:
        pair: read and registered.
        agents: that the network knows, in its order.

    Returns:
        As `map_cohort.encode_maps` has them: hu, tumour, liver (d, h, w) float16; fed, viable, tumour_after, change,
        iodine (1, d, h, w) float16; weeks (1,) float32, NaN where not known; actions (1, A, 3); arterial () bool;
        noise () HU in a cube, which `hu` holds already. Change and iodine are 0 where they are not known; the change of
        a cube that is all oil is that of its neighbours.
        Of real pairs alone: known_change, known_iodine, known_viable, known_tumour (1, d, h, w) bool, where the scans
        tell; liver_change () median HU of liver without tumour after less before, another moment of the contrast
        phase, which is no effect of treatment but is part of `change`; fed_known, protocol_known, phase_known () bool;
        affine (4, 4), cube (i, j, k) to RAS mm; patient () text.

    Raises:
        InputError: a patient for judging only.
        NoTumourError: the labels hold no tumour.
    """
    refuse_judging([pair.files])
    files, grid = pair.files, pair.before.geometry
    cubes = region_of(pair.labels.tumour, grid)
    hu = seen_hu(cube_means(pair.before.array, grid, cubes, SEEN_HU[0]))
    after, known = _after(pair, cubes)
    phase = phase_of(pair.before)
    told = _tumour_after(pair, cubes)
    covered = known["covered"]
    targets = {
        "fed": cube_means(fed_half(pair.labels, files.side), grid, cubes, 1.0 if files.side == "whole" else 0.0),
        "change": np.where(known["joined"], seen_hu(after["tissue"]) - hu, 0),
        "iodine": np.where(known["iodine"], after["iodine"], 0),
        "viable": told["viable"],
        "tumour_after": told["tumour"],
    }
    shares = {n: cube_means(m, grid, cubes) for n, m in (("tumour", pair.labels.tumour), ("liver", pair.labels.liver))}
    targets["iodine"] = targets["iodine"] * np.float32(
        _kept(pair, cubes, shares["tumour"], targets["change"], targets["iodine"])
    )
    beside = known["change"] & (shares["liver"] > 1 - APART) & (shares["tumour"] < 1e-3)
    flags = {
        "known_change": known["change"],
        "known_iodine": known["iodine"],
        "known_viable": covered & (told["known_viable"] > 0),
        "known_tumour": covered & (told["known_tumour"] > 0),
    }
    return {
        "hu": hu.astype(np.float16),
        **{n: v.astype(np.float16) for n, v in shares.items()},
        **{n: v[None].astype(np.float16) for n, v in targets.items()},
        **{n: v[None] for n, v in flags.items()},
        "weeks": np.array([np.nan if files.weeks is None else files.weeks], np.float32),
        "actions": encode_protocols([files.protocol], agents).numpy(),
        "arterial": np.bool_(phase == "arterial"),
        "noise": np.float32(COARSE_NOISE * _noise(pair)),
        "fed_known": np.bool_(files.side_stated or files.side != "whole"),
        "protocol_known": np.bool_(files.recorded),
        "phase_known": np.bool_(phase != "unknown"),
        "liver_change": np.float32(np.median(targets["change"][beside]) if beside.any() else 0.0),
        "affine": np.array(cubes.affine),
        "patient": np.array(files.patient),
    }


def _kept(pair: PreparedPair, cubes: Geometry, tumour: FloatArray, change: FloatArray, iodine: FloatArray) -> float:
    """Factor of iodine with which it and the tissue add up to the change of the registered scan, over the tumour.

    The map of the registration changes volumes, and an aperture around a deposit holds a little more than it, so that
    the sum would be too bright.
    """
    inside = tumour > COVERED
    total = cube_means(seen(pair.truth.after) - seen(pair.truth.before), pair.before.geometry, cubes)
    rise = HU_PER_MG_ML * float(iodine[inside].sum())
    if rise <= 0:
        return 1.0
    return float(np.clip(float((total - change)[inside].sum()) / rise, *KEPT))


def refuse_judging(pairs: Sequence[PairFiles]) -> None:
    """Raise if patients who are for judging only are to be trained on: those a list says so of, and HCC_009.

    Raises:
        InputError: there are such patients; it names them.
    """
    refused = [
        pair.patient for pair in pairs if pair.judging or is_judged(pair.patient, *map(str, pair_paths(pair).values()))
    ]
    if refused:
        raise InputError(
            what="A patient who is for judging only is never trained on",
            given=", ".join(refused),
            remedy="Take the patient out of the list; one of your own who is called like a judged one needs a new name",
        )


def pair_paths(pair: PairFiles) -> dict[str, Path]:
    """The files of a pair that its arrays are made from."""
    names = ("before", "labels", "after", "labels_after", "before_native", "after_native")
    found = {name: getattr(pair, name) for name in names}
    return {name: path for name, path in found.items() if path is not None}


def _after(pair: PreparedPair, cubes: Geometry) -> tuple[Maps, dict[str, Mask]]:
    """Tissue (HU) and iodine (mg/ml) after treatment in each cube, and where they are known.

    Voxels of the scanner count where there are any, since resampling takes grains; elsewhere the scan that was given.
    """
    grid, through = pair.before.geometry, pair.moved.transform
    dense = _dense_before(pair)
    may = (judged_region(pair.labels) | pair.labels.liver) & ~dense
    code = LabelMap(np.where(may, np.where(judged_region(pair.labels), 2, 1), 0).astype(np.uint8), grid)
    maps = _measured(pair.after, code, pair, cubes)
    covered = cube_means(np.ones(pair.after.array.shape, np.uint8), pair.after.geometry, cubes, 0.0, through) > COVERED
    if pair.native_after is not pair.after:
        fine = _measured(pair.native_after, code, pair, cubes)
        near = cube_means(
            np.ones(pair.native_after.array.shape, np.uint8), pair.native_after.geometry, cubes, 0.0, through
        )
        maps = {n: np.where(near > COVERED, fine[n], v) for n, v in maps.items()}
    gas = [image < SEEN_HU[0] for image in (pair.truth.before, pair.truth.after)]
    covered &= cube_means(np.ones(grid.shape, np.uint8), grid, cubes) > COVERED
    joined = covered & (cube_means(gas[0] != gas[1], grid, cubes) < APART)
    bare = maps.pop("bare")
    tissue = filled(maps["tissue"], bare > BARE, joined)
    # outside of liver and tumour nothing was taken apart: what is not dense there holds no oil
    apart = cube_means(may, grid, cubes) > 0.5
    no_oil = apart | (tissue < 0.5 * LIPIODOL_HU)
    was_dense = cube_means(dense & pair.labels.liver, grid, cubes) > APART
    return (
        {"tissue": tissue, "iodine": np.maximum(maps["iodine"], 0)},
        {
            "covered": covered,
            "joined": joined,
            "change": joined & (bare > BARE),
            "iodine": joined & no_oil & ~was_dense,
        },
    )


def _measured(scan: Volume, code: LabelMap, pair: PreparedPair, cubes: Geometry) -> Maps:
    """Iodine, tissue, and the share of each cube that is tissue, from one scan after treatment."""
    there = carried(pair.moved, code, scan.geometry)
    if pair.labels_after is None:
        tumour = carried(pair.moved, pair.labels, scan.geometry).tumour
    else:
        tumour = resample(pair.labels_after.tumour, pair.after.geometry, scan.geometry, "nearest", 0)
    found = separated(scan.array, there.liver, tumour, there.tumour, scan.geometry.spacing)
    through = pair.moved.transform
    bare = cube_means(found.tissue, scan.geometry, cubes, 0.0, through)
    total = cube_means(np.where(found.tissue, scan.array, 0), scan.geometry, cubes, 0.0, through)
    return {
        "iodine": cube_means(found.iodine, scan.geometry, cubes, 0.0, through),
        "tissue": np.asarray(total / np.maximum(bare, 1e-3), np.float32),
        "bare": bare,
    }


def filled(values: FloatArray, known: Mask, wanted: Mask) -> FloatArray:
    """Values (k, j, i) where they are known; among `wanted`, from the known neighbours elsewhere.

    A mean of the neighbours by distance (a Gaussian of one cube), and the nearest one where none is near.
    """
    use = known & wanted
    if use.all() or not use.any():
        return values
    weight = ndimage.gaussian_filter(use.astype(np.float32), 1.0, mode="constant")
    mean = ndimage.gaussian_filter(np.where(use, values, 0), 1.0, mode="constant") / np.maximum(weight, 1e-6)
    nearest = ndimage.distance_transform_edt(~use, return_distances=False, return_indices=True)
    near = np.where(weight > 0.02, mean, values[tuple(nearest)])
    return np.asarray(np.where(use | ~wanted, values, near), np.float32)


def _dense_before(pair: PreparedPair) -> Mask:
    """What was dense before (K, J, I): bone, vessels, bowel, oil of an earlier session; all with room around it."""
    spacing = pair.before.geometry.spacing
    mean = ndimage.gaussian_filter(pair.truth.before, [DENSE_MM / s for s in spacing])
    dense = mean >= LIPIODOL_HU
    for part, room in ((pair.labels.liver, BESIDE_OIL_MM), (~pair.labels.liver, OFF_MM)):
        if (dense & part).any():
            dense |= part & (ndimage.distance_transform_edt(~(dense & part), sampling=spacing) <= room)
    return np.asarray(dense)


def _tumour_after(pair: PreparedPair, cubes: Geometry) -> Maps:
    """Shares of tumour and of viable tumour after treatment, and where they are known; 0 where there are no labels."""
    nothing = np.zeros(cubes.shape, np.float32)
    if pair.labels_after is None:
        return dict.fromkeys(("tumour", "viable", "known_tumour", "known_viable"), nothing)
    labels, geometry = pair.labels_after, pair.after.geometry
    found = tissue_of(pair.after, labels.tumour, liver_reference(pair.after, labels, phase_of(pair.after)))

    def mean(mask: Mask) -> FloatArray:
        return cube_means(mask, geometry, cubes, 0.0, pair.moved.transform)

    tumour, viable, untold = mean(labels.tumour), mean(found.viable), mean(found.unknown)
    told = np.maximum(tumour - untold, 0)
    share = np.clip(viable / np.maximum(told, 1e-3), 0, 1)
    known = (untold <= UNTOLD * tumour + 1e-3) if found.tells else np.zeros(cubes.shape, bool)
    return {
        "tumour": tumour,
        "viable": np.where(known, share * tumour, 0).astype(np.float32),
        "known_tumour": nothing + 1,
        "known_viable": known.astype(np.float32),
    }


def _noise(pair: PreparedPair) -> float:
    """HU of noise in the scanner's voxels before treatment."""
    ct, labels = pair.native_before, pair.native_labels
    noise = noise_look(ct.array, labels.liver, labels.tumour, ct.geometry.spacing)["noise_sd_hu"]
    return noise if np.isfinite(noise) else USUAL_NOISE_HU
