"""The versions of the world side by side: weights that are shipped were trained in one, the next ones in another."""

from __future__ import annotations

from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.errors import InputError

#: Version to how its patients are drawn; patients of one seed have the same traits and tumours in all versions.
WORLDS: dict[int, type[SyntheticPatient]] = {2: SyntheticPatient, 3: StudyPatient}
#: The world in which the shipped weights were trained.
WORLD = 2


def draw_patient(seed: int, world: int = WORLD) -> SyntheticPatient:
    """Draw a patient in a version of the world.

    Raises:
        InputError: there is no such version.
    """
    if world not in WORLDS:
        raise InputError(
            what="There is no such version of the synthetic world",
            given=str(world),
            remedy="Ask for version " + " or ".join(map(str, WORLDS)),
        )
    return WORLDS[world].draw(seed)
