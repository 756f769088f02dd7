"""What the written volume and labels of a protocol show, and which of the simulated samples they are.

The numbers of a search are means over replicas, told of what is expected; a volume that is written is one sample. So it
carries numbers of its own, measured in the two files (`world.written`), which `mewm verify` measures again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.records import record_to_plain

#: Tissue holds Lipiodol from this density on, in every number that is printed (`perception.viability.OIL_HU`).
LIPIODOL_FROM_HU = 300.0
#: Who says what of a written volume lives: the model that simulated it, or the density of its voxels.
BY_MODEL, BY_DENSITY = "as the model simulates it", "by density in the written CT"
#: A volume is said to grow if it does by more than this share and by more than so many ml (mm of a diameter).
GROWS, GROWS_BY = 0.01, 0.1


@dataclass(frozen=True)
class Sample:
    """Which of the simulated replicas a volume is.

    Attributes:
        seed: of the replica.
        replicas: how many were simulated; it is the one of them that is nearest to their mean.
    """

    seed: int
    replicas: int

    @property
    def text(self) -> str:
        """Such as "of 3 simulated samples the one nearest to their mean (seed 1)"."""
        if self.replicas < 2:
            return f"the one sample that was simulated (seed {self.seed})"
        return f"of {self.replicas} simulated samples the one nearest to their mean (seed {self.seed})"


#: Lesions below this longest axial diameter (mm) cannot be measured by the published criteria, and share a line.
SMALL_MM = 10.0
#: What stands between the name of a criterion and the number of the lesion that it judges.
_LESION = ", lesion "


@dataclass(frozen=True)
class Criterion:
    """A published criterion of response, applied to the simulated outcome.

    Attributes:
        name: "RECIST 1.1", "mRECIST", or "LI-RADS treatment response, lesion 1".
        category: None where it cannot be judged.
        reasons: why it is so, or why it cannot be judged.
    """

    name: str
    category: str | None
    reasons: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.name}: {self.category or 'cannot be judged'} ({'; '.join(self.reasons)})"


def joined(criteria: Sequence[Criterion], small: Collection[int] = ()) -> tuple[Criterion, ...]:
    """The same judgements with the lesions that are judged alike, and for the same reasons, in one line.

    Args:
        criteria: one for each lesion, as they are measured.
        small: numbers of the lesions below `SMALL_MM`; all of them together are one line, the last.
    """
    alike: dict[tuple[str, str | None, tuple[str, ...]], list[int]] = {}
    specks: dict[str, list[tuple[list[int], Criterion]]] = {}
    for one in criteria:
        name, _, listed = one.name.partition(_LESION)
        numbers = [int(n) for n in re.findall(r"\d+", listed)]
        if numbers and all(n in small for n in numbers):
            specks.setdefault(name, []).append((numbers, one))
        else:
            alike.setdefault((name, one.category, one.reasons), []).extend(numbers)
    found = [
        Criterion(f"{name}{_numbered(lesions)}", category, reasons)
        for (name, category, reasons), lesions in alike.items()
    ]
    return (*found, *(_together(name, members) for name, members in specks.items()))


def _together(name: str, members: Sequence[tuple[list[int], Criterion]]) -> Criterion:
    """Small lesions as one judgement: how many there are of each category, and the reasons where they are one."""
    counts = Counter(one.category for _, one in members)
    reasons = {one.reasons for _, one in members}
    category = next(iter(counts))
    if len(counts) > 1:
        category = ", ".join(f"{what or 'cannot be judged'} {n}" for what, n in counts.most_common())
    told = next(iter(reasons)) if len(reasons) == 1 else ("each for reasons of its own",)
    numbers = [n for mine, _ in members for n in mine]
    return Criterion(f"{name}{_numbered(numbers)} under {SMALL_MM:.0f} mm", category, told)


def small_ones(diameters_mm: Mapping[int, float]) -> frozenset[int]:
    """Numbers of the lesions below `SMALL_MM`, from the longest axial diameter of each."""
    return frozenset(n for n, mm in diameters_mm.items() if mm < SMALL_MM)


def judged_lesions(result: Mapping[str, Any]) -> tuple[Criterion, ...]:
    """LI-RADS treatment response of the lesions in the result of an assessment, `joined`."""
    small = small_ones({n: one["diameter_mm"] for n, one in enumerate(result["before"]["lesions"], start=1)})
    head = f"LI-RADS treatment response{_LESION}"
    each = [
        Criterion(head + ", ".join(map(str, one["before"])), one["category"], tuple(one["reasons"]))
        for one in result["lirads"]
    ]
    return joined(each, small)


def runs_in_words(numbers: Sequence[int]) -> str:
    """Such as "1 to 3 and 5"; "" for none."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return words[0] if len(words) == 1 else " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _numbered(lesions: Sequence[int]) -> str:
    """Such as ", lesions 1 to 3 and 5"."""
    if not lesions:
        return ""
    return f"{_LESION if len(lesions) == 1 else ', lesions '}{runs_in_words(lesions)}"


@dataclass(frozen=True)
class WrittenNumbers:
    """Measured in the written CT and labels, on their own voxels, of all tumour of the patient.

    Attributes:
        sample: which one it is.
        phase: contrast phase of the scan before, which the simulated one has too.
        tumour_ml_before, tumour_ml_after: of the label maps.
        viable_ml_before: by density, as among the findings; None where the phase does not tell it.
        viable_ml_after: of the segment *Viable tumour*; None where there is none.
        viable_by: what that segment is drawn by: `BY_MODEL` or `BY_DENSITY`.
        necrotic_ml_after: what of the label map is neither viable nor at Lipiodol density; None as above.
        seen_viable_ml, seen_necrotic_ml, hidden_ml: what `mewm assess` sees in such a CT by its density alone: viable,
            necrotic, and what it cannot tell, mostly beside Lipiodol; None where the phase does not tell it.
        lipiodol_ml_after: of the label map at `LIPIODOL_FROM_HU` and more.
        lipiodol_outside_ml: what became so dense outside of the label map.
        dense_before_ml: what of `lipiodol_ml_after` was so dense before treatment: older Lipiodol, calcium, or contrast
            agent in gut that an outline holds.
        diameter_mm_before, diameter_mm_after: the longest axial one of any lesion.
        criteria: RECIST 1.1, mRECIST, and LI-RADS treatment response of each lesion.
    """

    sample: Sample
    phase: str
    tumour_ml_before: float
    tumour_ml_after: float
    viable_ml_before: float | None
    viable_ml_after: float | None
    necrotic_ml_after: float | None
    lipiodol_ml_after: float
    lipiodol_outside_ml: float
    diameter_mm_before: float
    diameter_mm_after: float
    viable_by: str = BY_DENSITY
    seen_viable_ml: float | None = None
    seen_necrotic_ml: float | None = None
    hidden_ml: float | None = None
    dense_before_ml: float = 0.0
    criteria: tuple[Criterion, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return record_to_plain(self)

    def told(self, oil: bool = True) -> list[str]:
        """What a reader is told of the written volume, in sentences.

        Args:
            oil: the protocol gives Lipiodol; without it nothing is said of what it hides and where it is.
        """
        found = [
            f"The written volume is a sample, {self.sample.text}. Measured in it and its labels: tumour "
            f"{change_in_words(self.tumour_ml_before, self.tumour_ml_after)}."
        ]
        if self.viable_ml_after is None:
            found.append(f"Viable tumour in it cannot be told: the contrast phase is {self.phase}.")
        elif self.viable_ml_before is None:
            found.append(f"Viable tumour in it, {self.viable_by}: {self.viable_ml_after:.1f} ml.")
        else:
            words = change_in_words(self.viable_ml_before, self.viable_ml_after)
            found.append(f"Viable tumour in it, {self.viable_by}: {words}.")
        if self.seen_viable_ml is not None and self.hidden_ml is not None:
            found.append(
                f"By density alone, as mewm assess reads a CT, {self.seen_viable_ml:.1f} ml of the tumour look viable"
                + (f" and {self.hidden_ml:.1f} ml cannot be told" if self.hidden_ml >= 0.05 else "")
                + (", mostly beside Lipiodol, which hides what died" if oil and self.hidden_ml >= 0.05 else "")
                + "."
            )
        dense = f"are as dense as Lipiodol ({LIPIODOL_FROM_HU:.0f} HU and more)"
        dense_now = f"{self.lipiodol_ml_after:.1f} ml of the tumour {dense}"
        if self.dense_before_ml >= 0.05:
            dense_now += f", of which {self.dense_before_ml:.1f} ml were so before treatment"
        if self.lipiodol_outside_ml >= 0.05:
            dense_now += f"; {self.lipiodol_outside_ml:.1f} ml of tissue beside its outline became so too"
        if oil or self.lipiodol_ml_after >= 0.05:
            found.append(f"{dense_now}.")
        found.append(
            "The longest axial diameter of any lesion in it, treated or not, "
            f"{change_in_words(self.diameter_mm_before, self.diameter_mm_after, unit='mm', digits=0)}."
        )
        return found


def change_in_words(before: float, after: float, unit: str = "ml", digits: int = 1) -> str:
    """Such as "falls from 28.7 to 3.2 ml" and "GROWS from 2.0 to 3.1 ml": growth is said, and loudly."""
    numbers = f"{before:.{digits}f} to {after:.{digits}f} {unit}"
    if grows(before, after):
        return f"GROWS from {numbers}"
    if grows(after, before):
        return f"falls from {numbers}"
    return f"stays about the same, {numbers}"


def grows(before: float, after: float) -> bool:
    """True if a volume (ml) or diameter (mm) grows by more than arithmetic and sampling of voxels do."""
    return after - before > max(GROWS_BY, GROWS * before)
