"""Register the scan after treatment to the one before it, in stages that are each kept only where they help.

The best of all shifts, a rigid map of the body, one of the liver alone (breathing moves it against the spine), an
affine map, a free-form deformation (cubic B-splines, Rueckert et al., IEEE TMI 1999) and, where the liver is outlined
in both scans, a last deformation by its outlines. All but the last go by Mattes' mutual information, as SimpleITK has
it.

Lipiodol must not drive the registration: HU are clamped to -200..250, and the tumour is painted over in both scans at
the density of the liver, or, where it is outlined before treatment only, no sample is drawn in or near it.

`mewm assess` and the judging of simulations on real pairs (`lab/evaluation`) use it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError, InputError, OutputError
from MeWMLib.core.io import atomic_path, from_sitk, image_of, to_sitk
from MeWMLib.core.itk_state import one_itk_thread, quiet_itk
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception import registration_steps as steps
from MeWMLib.perception.registration_quality import MOST_FOLDED, agreement, helps, jacobian
from MeWMLib.perception.registration_steps import Prepared, Registration

KINDS = ("rigid", "affine", "deformable", "staged")
AS_IT_WAS = "as it was"
#: Scans that agree so well (correlation, HU) are one scan, or registered already: nothing is tried.
SAME_CORRELATION, SAME_MAE_HU = 0.95, 12.0

#: An affine map that changes all volumes by more is not the same body: a liver keeps its volume when it moves.
MOST_GROWTH = 0.08

Mask = NDArray[np.bool_]
Measures = dict[str, float]
OnStage = Callable[[float, str], None]


@dataclass(frozen=True)
class Stage:
    """One stage that was tried.

    Attributes:
        name: "as it was", "shift", "rigid", "liver" (rigid, of the liver alone), "affine", "deformable" or "outlines".
        kept: the stages after it begin from it.
        reason: what was compared, and with what.
        measures: `agreement` on the coarse grid, tumour of both scans left out; empty where it failed.
    """

    name: str
    kept: bool
    reason: str
    measures: Measures = field(default_factory=dict, hash=False)

    @property
    def text(self) -> str:
        """One line for a log."""
        return f"{self.name}: {'kept' if self.kept else 'not kept'} ({self.reason})"


@dataclass(frozen=True, eq=False)
class Registered:
    """A scan brought onto the grid of another.

    Attributes:
        ct: the moving scan on the fixed grid; `covered` says where it has voxels.
        covered: (K, J, I).
        transform: a point of the fixed scan to the same point of the moving one, ITK's LPS mm.
        quality: see `agreement`, with "_before" and "_after", and the Jacobian of the deformation.
        stages: what was tried; of a registration of another kind than "staged", what was done.
    """

    ct: Volume
    covered: Mask
    transform: sitk.Transform
    quality: Measures
    stages: tuple[Stage, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the stages that make up the map."""
        return tuple(stage.name for stage in self.stages if stage.kept)

    @property
    def _grid(self) -> sitk.Image:
        """An empty image on the fixed grid."""
        return to_sitk(LabelMap(np.zeros(self.ct.geometry.shape, np.uint8), self.ct.geometry))

    def labels(self, moving: LabelMap) -> LabelMap:
        """Bring labels of the moving scan onto the fixed grid by nearest neighbour."""
        return steps.moved_labels(moving, self._grid, self.ct.geometry, self.transform)

    def numbers(self, moving: NDArray[np.int32], geometry: Geometry) -> NDArray[np.int32]:
        """Bring numbers of lesions (K, J, I) on the grid of the moving scan onto the fixed grid."""
        image = image_of(moving, geometry)
        found = sitk.Resample(image, self._grid, self.transform, sitk.sitkNearestNeighbor, 0, sitk.sitkInt32)
        return np.asarray(sitk.GetArrayFromImage(found))

    def write_deformation(self, path: Path, spacing_mm: float = 4.0) -> None:
        """Write the map as a displacement field, an ITK transform file that 3D Slicer loads as a transform node.

        Slicer shows the moving scan in the place of the fixed one under this node.

        Args:
            path: `.h5` or `.tfm`.
            spacing_mm: of the field, which is smooth.

        Raises:
            OutputError: the file cannot be written.
        """
        grid = self._grid
        size, spacing = steps.coarser(grid, spacing_mm)
        found = sitk.TransformToDisplacementField(
            self.transform, sitk.sitkVectorFloat64, size, grid.GetOrigin(), spacing, grid.GetDirection()
        )
        with atomic_path(path) as temporary:
            try:
                sitk.WriteTransform(sitk.DisplacementFieldTransform(found), str(temporary))
            except RuntimeError as error:
                raise OutputError(
                    what="The deformation cannot be written",
                    given=f"{path}: {str(error).splitlines()[-1].strip()[:200]}",
                    remedy="Give a name that ends in .h5 or .tfm",
                ) from error


def register(
    fixed: Volume,
    labels: LabelMap,
    moving: Volume,
    settings: Registration,
    moving_labels: LabelMap | None = None,
    on_stage: OnStage = lambda fraction, name: None,
) -> Registered:
    """Bring `moving` onto the grid of `fixed`; deterministic.

    Args:
        fixed: before treatment.
        labels: on its grid.
        moving: after treatment.
        settings: see `Registration`.
        moving_labels: of the scan after, on its own grid, where known: they let the tumour be painted over in both
            scans, the outlines be matched, and the Dice of the livers be asked.
        on_stage: called before each stage with the finished share and its name; what it raises ends the registration.

    Raises:
        GeometryMismatchError: the two scans do not overlap, so that there is nothing to register.
        InputError: an unknown kind.
    """
    if settings.kind not in KINDS:
        raise InputError(what="Unknown kind of registration", given=settings.kind, remedy="Use " + ", ".join(KINDS))
    ready = steps.prepare(fixed, labels, moving, moving_labels, settings)
    with quiet_itk, one_itk_thread:  # the map must not depend on the order in which threads add up
        run = _Run(ready, labels, moving, moving_labels, settings, on_stage)
        try:
            run.staged() if settings.kind == "staged" else run.all_of_them()
        except RuntimeError as error:
            raise _failed(fixed, moving, error) from error
        on_stage(0.95, "measure")
        return _finished(fixed, labels, moving, moving_labels, ready, run)


def measured_as_it_is(
    fixed: Volume, labels: LabelMap, moving: Volume, moving_labels: LabelMap | None = None
) -> Registered:
    """A scan that is registered already: brought onto the grid of `fixed` where it lies, and measured.

    Args:
        fixed, labels, moving, moving_labels: as in `register`.
    """
    ready = steps.prepare(fixed, labels, moving, moving_labels, Registration())
    with one_itk_thread:
        run = _Run(ready, labels, moving, moving_labels, Registration(), lambda fraction, name: None)
        run.begin("the user's own registration")
        return _finished(fixed, labels, moving, moving_labels, ready, run)


class _Run:
    """The stages of one registration: the best map so far, and what was tried."""

    def __init__(
        self,
        ready: Prepared,
        labels: LabelMap,
        moving: Volume,
        moving_labels: LabelMap | None,
        settings: Registration,
        on_stage: OnStage,
    ) -> None:
        self.ready, self.moving, self.moving_labels, self.settings = ready, moving, moving_labels, settings
        self.labels, self.on_stage = labels, on_stage
        array, geometry = from_sitk(ready.target)
        self.coarse = Volume(array, geometry)
        small = sitk.Resample(to_sitk(labels), ready.target, sitk.Transform(), sitk.sitkNearestNeighbor)
        self.coarse_labels = LabelMap(sitk.GetArrayFromImage(small), geometry)
        self.best: sitk.Transform = steps.still(ready)
        self.stages: list[Stage] = []
        self.measures: Measures = {}

    def begin(self, reason: str) -> None:
        """Measure the scans as they are."""
        self.measures = self._measured(self.best)
        self.stages.append(Stage(AS_IT_WAS, True, reason, self.measures))

    def staged(self) -> None:
        """Try every stage, and keep what helps.

        Raises:
            RuntimeError: no stage could be done at all; of ITK.
        """
        self.on_stage(0.02, AS_IT_WAS)
        self.begin("where the headers put the scans")
        same = self.measures["near_correlation"] >= SAME_CORRELATION and self.measures["liver_mae_hu"] <= SAME_MAE_HU
        if same:
            return
        ready, settings = self.ready, self.settings
        errors = [
            self._try("shift", 0.05, lambda: steps.shift(ready)),
            self._try("rigid", 0.1, lambda: steps.rigid(ready, self.best, settings)),
            self._try("liver", 0.25, lambda: steps.rigid(ready, self.best, settings, near=True)),
        ]
        rigid = self.best
        errors.append(self._try("affine", 0.35, lambda: steps.affine(ready, rigid, settings, near=True)))
        errors.append(self._try("deformable", 0.45, lambda: steps.deformable(ready, self.best, settings)))
        if all(errors):
            raise RuntimeError(errors[-1])
        known = self.moving_labels
        if known is not None and known.liver.any() and self.labels.liver.any():
            self._try("outlines", 0.7, partial(self._outlines, known))

    def _outlines(self, known: LabelMap) -> sitk.Transform:
        return steps.outlines(self.ready, self.best, self.labels, known, self.settings)

    def all_of_them(self) -> None:
        """Do shift, rigid, affine and deformable up to the kind that is asked for, whatever they do."""
        self.on_stage(0.05, "shift")
        self.best = steps.rigid(self.ready, steps.shift(self.ready), self.settings)
        wanted = KINDS.index(self.settings.kind)
        if wanted >= 1:
            self.best = steps.affine(self.ready, self.best, self.settings)
        if wanted >= 2:
            self.best = steps.deformable(self.ready, self.best, self.settings)
        names = ("shift", *KINDS[: wanted + 1])
        self.stages = [Stage(name, True, "asked for") for name in names]

    def _try(self, name: str, fraction: float, make: Callable[[], sitk.Transform]) -> str:
        """Try a stage and keep it if it helps; returns why it could not be done, or ""."""
        self.on_stage(fraction, name)
        try:
            found = make()
            measures = self._measured(found)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()[:160]
            self.stages.append(Stage(name, False, f"could not be done: {reason}"))
            return reason
        better, reason = helps(self.measures, measures)
        if better and name in ("affine", "deformable", "outlines"):
            unsound = _unsound(jacobian(found, self.ready.target, self.ready.trunk), name == "affine")
            better, reason = not unsound, reason + unsound
        self.stages.append(Stage(name, better, reason, measures))
        if better:
            self.best, self.measures = found, measures
        return ""

    def _measured(self, transform: sitk.Transform) -> Measures:
        """Agreement on the coarse grid."""
        hu, covered = steps.moved(self.moving, self.ready.target, transform)
        found = None
        if self.moving_labels is not None:
            found = steps.moved_labels(self.moving_labels, self.ready.target, self.coarse.geometry, transform)
        return agreement(self.coarse, self.coarse_labels, hu, covered, found)


def _unsound(values: Measures, linear: bool) -> str:
    """What is wrong with a deformation although the scans agree better; "" if nothing is."""
    if linear and abs(values["jacobian_low"] - 1) > MOST_GROWTH:
        return f", but all volumes change by {100 * (values['jacobian_low'] - 1):+.0f} %"
    folded = values["jacobian_folded_share"]
    return f", but {100 * folded:.1f} % of the body folds" if folded > MOST_FOLDED else ""


def _finished(
    fixed: Volume, labels: LabelMap, moving: Volume, moving_labels: LabelMap | None, ready: Prepared, run: _Run
) -> Registered:
    """Bring the scan over, and measure on the full grid."""
    grid = to_sitk(LabelMap(np.zeros(fixed.geometry.shape, np.uint8), fixed.geometry))
    quality: Measures = {}
    for when, transform in (("before", sitk.Transform(3, sitk.sitkIdentity)), ("after", run.best)):
        hu, covered = steps.moved(moving, grid, transform)
        found = None
        if moving_labels is not None:
            found = steps.moved_labels(moving_labels, grid, fixed.geometry, transform)
        quality |= {f"{k}_{when}": v for k, v in agreement(fixed, labels, hu, covered, found).items()}
    quality |= jacobian(run.best, ready.target, ready.trunk)
    ct = Volume(hu, fixed.geometry, moving.phase, moving.simulated)
    return Registered(ct, covered, run.best, quality, tuple(run.stages))


def _failed(fixed: Volume, moving: Volume, error: RuntimeError) -> GeometryMismatchError:
    """ITK has one exception for everything; on images of the right type it means that no sample is in both."""
    reason = str(error).splitlines()[-1].strip() if str(error) else ""
    return GeometryMismatchError(
        what="The scan after treatment could not be registered",
        given=f"{fixed.geometry.describe()} and {moving.geometry.describe()} ({reason})",
        remedy="Give two scans of the same part of the body",
    )


__all__ = ["KINDS", "Registered", "Registration", "Stage", "agreement", "jacobian", "measured_as_it_is", "register"]
