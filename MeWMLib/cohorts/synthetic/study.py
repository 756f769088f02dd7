"""Version 3 of the world: patients of version 2 whose scans look like those of a scanner (docs/SYNTHETIC_WORLD.md).

Anatomy, tumours and law are those of `world`; what differs is what a session leaves (`outcome`), how tissue looks
(`tissue_look`), and that a scan has a scanner, a pose, two phases and a time after treatment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import Response
from MeWMLib.cohorts.synthetic.law3 import LABILITY, labile
from MeWMLib.cohorts.synthetic.look import LOOK, LookConstants
from MeWMLib.cohorts.synthetic.outcome import Session, Tissue, injected_ml, left_ml, placed
from MeWMLib.cohorts.synthetic.pose import Pose, padded, posed, warp, warp_code
from MeWMLib.cohorts.synthetic.scan import Scan, joined
from MeWMLib.cohorts.synthetic.territories import Fed, HalfSpace, WholeLiver
from MeWMLib.cohorts.synthetic.tissue_look import DeathLook, dead_hu, small_vessels, viable_hu
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient, lps_grid
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import TUMOUR, Geometry
from MeWMLib.rendering.grains import Grains, Places, spread_grains
from MeWMLib.rendering.iodine import rise_hu
from MeWMLib.rendering.scanner import Scanner, as_stored, resampled

PHASES = ("portal", "arterial")
#: Iodine (mg/ml) from which a voxel is said to hold Lipiodol: some 100 HU.
OIL_MG_ML = 4.0
#: How often a session feeds the whole liver, and where else the border lies: offset from the tumour's middle in radii.
WHOLE_FED, BORDER_AT = 0.5, (-0.35, 0.8)


@dataclass(frozen=True)
class StudyPatient(SyntheticPatient):
    """A patient of version 3; traits, nodules, anatomy and law are those of version 2 for the same seed."""

    look: LookConstants = field(default=LOOK, kw_only=True, compare=False)

    @classmethod
    def draw(cls, seed: int, look: LookConstants = LOOK) -> StudyPatient:
        """Draw a patient; the same seed gives the same patient on every machine."""
        drawn = super().draw(seed)
        assert isinstance(drawn, cls)
        return replace(drawn, look=look)

    def response(self, protocol: Protocol) -> Response:
        """What the law says for this patient, with the patient's lability of size."""
        factor = LABILITY.draw(np.random.default_rng(derive_seed("lability", self.seed)))
        return labile(super().response(protocol), factor)

    @cached_property
    def scanner(self) -> Scanner:
        """The scanner of this patient; all scans are made by it."""
        rng, look = np.random.default_rng(derive_seed("scanner", self.seed)), self.look
        noise = float(np.clip(look.noise_hu * np.exp(look.noise_spread * rng.standard_normal()), *look.noise_limits))
        slices = float(rng.choice(look.slices_mm))
        return Scanner(
            in_plane_mm=float(rng.uniform(*look.in_plane_mm)),
            slice_mm=slices,
            # thin slices are noisier, and the constant is that of 2.5 mm
            noise_hu=float(np.clip(noise * np.sqrt(2.5 / slices), *look.noise_limits)),
            low_cut=look.low_cut,
            high_cut=float(rng.uniform(*look.high_cut)),
            streak=float(rng.uniform(*look.streak)),
            angle=float(rng.uniform(-0.5, 0.5)),
            slice_tie=look.slice_tie,
            blur_mm=float(rng.uniform(*look.blur_mm)),
            edge=float(rng.uniform(*look.edge)),
        )

    def in_phase(self, phase: str) -> Anatomy:
        """The anatomy in a contrast phase.

        Raises:
            InputError: a phase that the world does not draw.
        """
        if phase not in PHASES:
            raise InputError(
                what="The world does not draw this phase", given=phase, remedy=f"Ask for {' or '.join(PHASES)}"
            )
        rng, look = np.random.default_rng(derive_seed("contrast", self.seed)), self.look
        portal, arterial = (
            float(np.clip(rng.normal(0.5 * (low + high), 0.22 * (high - low)), low, high))
            for low, high in (look.liver_portal, look.liver_arterial)
        )
        return replace(self.anatomy, phase=phase, liver_hu=portal if phase == "portal" else arterial)

    @cached_property
    def fed(self) -> Fed:
        """The territory that was treated in this patient's session."""
        rng, target = np.random.default_rng(derive_seed("fed", self.seed)), self.nodules[0]
        if rng.random() < WHOLE_FED:
            return WholeLiver()
        way = rng.standard_normal(3)
        way /= np.linalg.norm(way)
        offset = float(rng.uniform(*BORDER_AT)) * target.radius
        point = np.array(target.centre) - offset * way
        return HalfSpace(_triple(point), _triple(way), derive_seed("fed", self.seed, "border"))

    @cached_property
    def session(self) -> Session:
        """The session as drawn: its territory, and the weeks until the scan after it."""
        rng = np.random.default_rng(derive_seed("weeks", self.seed))
        return Session(float(np.clip(5 * np.exp(0.45 * rng.standard_normal()), 1, 26)), self.fed)

    @cached_property
    def oil_luck(self) -> float:
        """Factor of what Lipiodol stays, median 1; 0 where none does."""
        rng = np.random.default_rng(derive_seed("oil luck", self.seed))
        none, factor = rng.random() < self.look.oil_none, np.exp(self.look.oil_spread * rng.standard_normal())
        return 0.0 if none else float(factor)

    @cached_property
    def pose(self) -> Pose:
        """Of the scan before treatment against the one after it."""
        return Pose.draw(self.seed, self.anatomy.liver_centre, self.look)

    @cached_property
    def _tissues(self) -> tuple[Tissue, ...]:
        return tuple(Tissue.of(n, self.traits.kind, self.anatomy) for n in (*self.nodules, self.new_lesion))

    def scan_geometry(self, margin_mm: float = 15.0) -> Geometry:
        """The scanner's own grid around the first nodule, as a scan is stored."""
        nodule, voxel = self.nodules[0], self.scanner.spacing
        half = 1.2 * nodule.radius + margin_mm
        k, j, i = (2 * int(np.ceil(half / s)) + 1 for s in voxel)
        z, y, x = nodule.centre
        start = (x + i // 2 * voxel[2], y + j // 2 * voxel[1], z - k // 2 * voxel[0])
        return lps_grid((k, j, i), voxel, start)

    def render_all(
        self,
        geometry: Geometry,
        protocols: Sequence[Protocol | None],
        noise: bool = True,
        session: Session | None = None,
        phase: str | None = None,
    ) -> list[Scan]:
        """Draw CTs on a grid: before treatment (None), or some weeks after a protocol.

        Args:
            geometry: an axis-aligned grid; of another spacing than the scanner's, the scan is resampled to it.
            protocols: one CT for each.
            noise: add scanner noise (another draw for each protocol and phase).
            session: weeks and territory of all protocols; `USUAL_WEEKS` and the patient's own territory if left out.
            phase: "portal" or "arterial"; the patient's if left out.

        Raises:
            GeometryError: the grid is oblique.
            InputError: another phase.
        """
        anatomy = self.in_phase(phase or self.anatomy.phase)
        session = session or Session()
        wide, margin = padded(geometry)
        hu, liver = anatomy.render(Axes.of(wide))
        hu = hu + np.where(liver > 0, small_vessels(self.seed, Axes.of(wide), anatomy.phase), 0)
        inner = tuple(slice(m, n - m) for m, n in zip(margin, wide.shape, strict=True))
        out = []
        for protocol in protocols:
            if protocol is None:
                index = posed(self.pose, geometry, margin)
                scan = _posed(self._tissue(anatomy, wide, hu, liver, None, session), index, geometry)
            else:
                scan = self._tissue(anatomy, geometry, hu[inner], liver[inner], protocol, session)
            out.append(self._scanned(scan, protocol, noise))
        return out

    def observed(self, geometry: Geometry, protocols: Sequence[Protocol | None]) -> list[Scan]:
        """`render_all` with the session of the patient: its territory, and its weeks until the scan."""
        return self.render_all(geometry, protocols, session=self.session)

    def lipiodol_ml(self, protocol: Protocol, session: Session) -> float:
        """Lipiodol (ml) that a session leaves in all nodules together, without drawing a scan."""
        left = self._left(self.response(protocol), protocol, session)
        return float(sum(ml for _, ml in left.values()))

    def viable_after(
        self, axes: Axes, liver: NDArray[np.bool_], protocol: Protocol, session: Session
    ) -> NDArray[np.bool_]:
        """Viable tumour (K, J, I) after a session, as a scan of it has it, without drawing one.

        Args:
            axes: of an axis-aligned grid.
            liver: (K, J, I) where it is (`Anatomy.render`).
            protocol, session: that are asked for.
        """
        answer, viable = self.response(protocol), np.zeros(liver.shape, bool)
        grew = answer.new_lesion > self.new_lesion_luck
        for n, tissue in enumerate(self._tissues if grew else self._tissues[:-1]):
            box = tissue.nodule.box(axes)
            if box is None:
                continue
            new = n == len(self._tissues) - 1
            scale = 1.0 if new else (1 - answer.shrinkage) ** (1 / 3)
            value = tissue.dead_before
            if not new:
                value = np.maximum(value, tissue.dying(answer, tissue.fed(session.fed or self.fed)))
            part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
            mask = (tissue.nodule.shape(part, scale) > 0) & liver[box]
            alive = tissue.on(value, part, scale) <= 0
            viable[box] = (viable[box] & ~mask) | (mask & alive)
        return viable

    def _tissue(
        self,
        anatomy: Anatomy,
        geometry: Geometry,
        hu: FloatArray,
        liver: FloatArray,
        protocol: Protocol | None,
        session: Session,
    ) -> Scan:
        """Everything but what the scanner adds."""
        inside = liver > 0
        plain = Rendering.without_tumour(hu.copy(), inside)
        axes = Axes.of(geometry)
        death = DeathLook.draw(self.seed, self.look)
        grains: list[Grains] = []
        answer = None if protocol is None else self.response(protocol)
        grew = answer is not None and answer.new_lesion > self.new_lesion_luck
        left = {} if answer is None or protocol is None else self._left(answer, protocol, session)
        for tissue in self._tissues if grew else self._tissues[:-1]:
            nodule = tissue.nodule
            scale, dying = 1.0, None
            if answer is not None and protocol is not None and tissue in left:  # a new lesion was not treated
                scale = (1 - answer.shrinkage) ** (1 / 3)
                fed, ml = left[tissue]
                dying = tissue.dying(answer, fed)
                if ml > 0:
                    seed = derive_seed("grains", self.seed, nodule.seed, protocol.text)
                    drawn = tissue.grains(tissue.density(dying, fed, answer, self.look), ml, self.look, seed)
                    grains.append(replace(drawn, place=placed(drawn, nodule.centre, scale)))
            box = nodule.box(axes)
            if box is None:
                continue
            part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
            shape = nodule.shape(part, scale)
            mask = (shape > 0) & inside[box]
            value = tissue.on(
                tissue.dead_before if dying is None else np.maximum(tissue.dead_before, dying), part, scale
            )
            alive = viable_hu(tissue, self.traits, part, shape, scale, anatomy.liver_hu, anatomy.phase, self.look)
            fine = SmoothField(derive_seed("dead", nodule.seed), 3.0).at(part.shifted(nodule.centre, scale))
            share = np.clip(value / 0.4 + 0.5, 0, 1)
            mixed = alive * (1 - share) + share * dead_hu(alive, fine, death, anatomy.phase, self.look)
            soft = 0.16 if self.traits.kind == "infiltrative" else 0.06
            weight = np.clip(shape / soft + 0.5, 0, 1) * inside[box]
            plain.hu[box] = plain.hu[box] * (1 - weight) + mixed * weight
            dead = mask & (value > 0)
            plain.labels[box] = np.where(mask, TUMOUR, plain.labels[box])
            plain.viable[box] = (plain.viable[box] & ~mask) | (mask & ~dead)
        weeks = None if protocol is None else session.weeks
        nothing = np.zeros((1, 1, 1), np.float32)
        return Scan(
            plain.hu, plain.labels, plain.viable, plain.lipiodol, plain.hu, nothing, geometry, joined(grains),
            anatomy.phase, weeks,
        )  # fmt: skip

    def _left(self, answer: Response, protocol: Protocol, session: Session) -> dict[Tissue, tuple[FloatArray, float]]:
        """For every treated nodule how far it is fed (on its lattice), and the Lipiodol (ml) that is left in it."""
        treated = self._tissues[:-1]
        fed = [tissue.fed(session.fed or self.fed) for tissue in treated]
        held = [tissue.taken_up_ml(answer, f, self.look) for tissue, f in zip(treated, fed, strict=True)]
        left = left_ml(held, self.oil_luck, injected_ml(protocol), session.weeks, self.look)
        return dict(zip(treated, zip(fed, left, strict=True), strict=True))

    def _scanned(self, scan: Scan, protocol: Protocol | None, noise: bool) -> Scan:
        """What the scanner makes of it: blur, oil, noise, all on its own grid, then on the grid that was asked for."""
        scanner, axes = self.scanner, Axes.of(scan.geometry)
        target: Places = (axes.z, axes.y, axes.x)
        sigma = [s / v for s, v in zip(scanner.spread_mm, scan.geometry.spacing, strict=True)]
        tissue = np.asarray(ndimage.gaussian_filter(scan.tissue, sigma), np.float32)
        own = scanner.grid_over(target)
        shape = (len(own[0]), len(own[1]), len(own[2]))
        oil = spread_grains(scan.grains, own, scanner.spread_mm)
        rise = rise_hu(oil)
        added = scanner.oil(rise)
        if noise:
            words = ("pre" if protocol is None else protocol.text, scan.phase)
            rng = np.random.default_rng(derive_seed("scan noise", self.seed, *words))
            added = added + scanner.with_streaks(scanner.noise(shape, rng), rise)
        iodine = resampled(oil, own, target) if len(scan.grains.mg) else np.zeros(tissue.shape, np.float32)
        hu = as_stored(tissue + resampled(added, own, target))
        return replace(
            scan, hu=hu, tissue=tissue, iodine=iodine, lipiodol=(iodine >= OIL_MG_ML) & (scan.labels == TUMOUR)
        )


def _posed(scan: Scan, index: NDArray[np.float32], geometry: Geometry) -> Scan:
    """A scan without grains in another pose, on the grid without margin."""
    code = scan.labels + np.uint8(4) * scan.viable
    code = warp_code(code, index)
    tissue = warp(scan.tissue, index)
    labels, viable = (code & 3).astype(np.uint8), (code & 4) > 0
    return replace(
        scan, hu=tissue, tissue=tissue, labels=labels, viable=viable, lipiodol=np.zeros(viable.shape, bool),
        geometry=geometry,
    )  # fmt: skip


def _triple(values: NDArray[np.floating]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
