"""All tables and figures of a run, each kept under a checksum of the patients' numbers and its own settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from MeWMLib.cohorts.layout import Cohort, read_patient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import read_json
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.evaluation.perceptual import FeatureNetwork, SegmenterFeatures
from MeWMLib.lab.evaluation.policy_cases import PUBLIC_AGENTS
from MeWMLib.lab.reproduce.backbone import PublishedFeatures
from MeWMLib.lab.reproduce.figures import survival_figures, virtual_against_real
from MeWMLib.lab.reproduce.kept import Kept, file_checksum, key_of
from MeWMLib.lab.reproduce.language_rows import language_table
from MeWMLib.lab.reproduce.members import Gap
from MeWMLib.lab.reproduce.physicians import physician_rows, read_choices
from MeWMLib.lab.reproduce.readers import read_readers
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.responses import response_table
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from MeWMLib.lab.reproduce.split import held_out
from MeWMLib.lab.reproduce.stored import NEEDED, stored_rows
from MeWMLib.lab.reproduce.table1 import TRUTH, table1
from MeWMLib.lab.reproduce.table2 import PolicySettings, table2, table3
from MeWMLib.perception.segmenter import Segmenter

#: Increased when a table is computed differently: what was kept before is computed again.
FORMAT = 3
PAPER = Path(__file__).with_name("paper.json")
#: The folder of stamped results in a checkout.
RESULTS = Path(__file__).resolve().parents[3] / "Resources" / "Results"
Show = Callable[[str, float, float, str, float | None], None]


@dataclass(frozen=True)
class TableSettings:
    """What tables and figures depend on beside the patients' numbers.

    Attributes:
        folds, repeats: of whatever is fitted to the cohort.
        hold_out: share of patients that figures of fitted policies are of, as the paper's 20 %; 0 cross-validates.
        backbone: TorchScript file of a published feature network, or None for the bundle's own.
        language: rows of language models, see `language.language_row`.
        physicians: CSV of physicians' choices, or None.
        readers: scores of a reader study, or None.
        results: folder of stamped results.
        among, constant: set by `chosen`.
    """

    folds: int = 5
    repeats: int = 5
    hold_out: float = 0.0
    backbone: Path | None = None
    language: tuple[str, ...] = ()
    physicians: Path | None = None
    readers: Path | None = None
    results: Path = RESULTS
    among: tuple[str, ...] = ()
    constant: Protocol = field(default_factory=lambda: Protocol.of(["Doxorubicin", "Lipiodol"]))

    def chosen(self, among: tuple[str, ...], constant: Protocol | None) -> TableSettings:
        """The same with what policies choose from, and the constant plan."""
        return replace(self, among=among, constant=constant or self.constant)

    def policies(self, plan: ReproduceSettings, apart: frozenset[str] | None) -> PolicySettings:
        """How policies are measured."""
        return PolicySettings(
            self.among or None, self.constant, self.folds, self.repeats, plan.drug_horizon, plan.embolic_horizon,
            apart, plan.seed,
        )  # fmt: skip


@dataclass
class Found:
    """What a run found.

    Attributes:
        tables: by name, JSON-ready.
        pictures: of the figures, by name.
        gaps: what could not be computed.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def all_tables(
    records: Sequence[Record],
    settings: ReproduceSettings,
    tables: TableSettings,
    sums: Mapping[str, str],
    cohort: Cohort,
    show: Show,
) -> Found:
    """Compute what is not kept, and read what is.

    Raises:
        MeWMError: a backbone, a table of physicians or an endpoint that cannot be used.
    """
    out = Found()
    members = [r.member for r in records]
    apart = held_out(members, tables.hold_out, settings.seed) if tables.hold_out else None
    policies = tables.policies(settings, apart)
    keys = [r.member.key for r in records]
    judging = [m.id for m in members if m.judging]
    about_policies = {**asdict(policies), "held_out": sorted(apart or ())}

    def table(name: str, compute: Callable[[Path], dict[str, Any]], *depends: Any) -> dict[str, Any]:
        kept = Kept(settings.out / "tables" / name, key_of(name, FORMAT, keys, judging, settings.seed, *depends))
        found = kept.read()
        if found is None:
            show(name, 0.0, 1.0, "", None)
            kept.folder.mkdir(parents=True, exist_ok=True)
            found = jsonable(compute(kept.folder))
            files = {one: kept.folder / one for one in found.get("pictures", ())}
            kept.write(found, pictures=files)
        show(name, 1.0, 1.0, "", None)
        out.tables[name] = found
        out.pictures |= {one: kept.folder / one for one in found.get("pictures", ())}
        out.gaps += [Gap(text, f"It is not in {TITLES[name]}.") for text in found.get("gaps", ())]
        return found

    backbone = file_checksum(tables.backbone) if tables.backbone else ""
    if tables.backbone and not backbone:
        raise UnreadableFileError(
            what="The file of the feature network does not exist",
            given=str(tables.backbone),
            remedy="Correct --backbone",
        )
    table(
        "table1",
        lambda _: table1(records, _network(records, settings, tables.backbone), settings.seed),
        sums[""], backbone,
    )  # fmt: skip
    table("table2", lambda _: table2(records, policies), about_policies)
    table("table3", lambda _: table3(records, policies), about_policies)
    fits = (tables.folds, tables.repeats)
    table("figures", lambda folder: survival_figures(records, folder, *fits, settings.seed), fits)
    table("virtual", lambda _: virtual_against_real(records, *fits, settings.seed), fits)
    stored = {m.id: (read_patient(cohort.folder, m.id) or {}).get("clinical") or {} for m in members}
    table("response", lambda _: response_table(records, stored, settings.seed, cohort))
    if tables.language:
        asked = language_table(records, cohort, tables.language, policies, settings.bundle)
        out.tables["language"] = jsonable(asked)
        out.gaps += [Gap(text, "It is not in Table 2.") for text in asked["gaps"]]
    else:
        out.gaps.append(
            Gap(
                "No language model was named",
                "Its rows of Table 2 were not run.",
                "Name one with --language, as gpt-4o.",
            )
        )
    _physicians(out, records, tables, settings.seed)
    if tables.readers is None:
        study = "Run a reader study on this cohort's simulations (`mewm study`) and give its scores with --readers."
        out.gaps.append(Gap("No readers took part", "The human half of Table 1 was not run.", study))
    else:
        out.tables["readers"] = read_readers(tables.readers)
    _stored(out, settings, tables)
    if apart is not None:
        out.tables["split"] = {"held_out": sorted(apart), "share": tables.hold_out, "seed": settings.seed}
    out.tables["agents"] = {"among": list(tables.among), "constant": tables.constant.text}
    out.tables["paper"] = read_json(PAPER)
    out.tables["paper_set"] = "public" if set(tables.among) == set(PUBLIC_AGENTS) else "in-house"
    return out


#: What each table is called.
TITLES = {
    "table1": "Table 1",
    "table2": "Table 2",
    "table3": "Table 3",
    "figures": "Figures 5 and 6",
    "virtual": "the table of simulated scans beside scans after",
    "response": "the table of the response",
}


def _network(records: Sequence[Record], settings: ReproduceSettings, backbone: Path | None) -> FeatureNetwork | None:
    """The published network if its file is given, else the encoder of the segmenter; None without scans after."""
    import numpy as np

    real = [r.crops[TRUTH] for r in records if TRUTH in r.crops]
    if not real:
        return None
    if backbone is not None:
        return PublishedFeatures(backbone)
    part = find_bundle(settings.bundle, require=("assistant",)).part("assistant")
    return SegmenterFeatures(Segmenter.from_part(*part, torch.device("cpu")), np.concatenate(real))


def _physicians(out: Found, records: Sequence[Record], tables: TableSettings, seed: int) -> None:
    if tables.physicians is None:
        out.gaps.append(
            Gap(
                "No physicians' choices were given",
                "Their rows of Table 2 were not run.",
                "Give a CSV with --physicians.",
            )
        )
        return
    choices = read_choices(tables.physicians, [r.id for r in records])
    gold = {r.id: r.gold for r in records if r.gold is not None}
    rows, paired = physician_rows(choices, gold, seed)
    out.tables["physicians"] = jsonable({"rows": rows, "paired": paired})


def _stored(out: Found, settings: ReproduceSettings, tables: TableSettings) -> None:
    """Rows without weights at hand: from stamped results, else a gap."""
    missing = [name for name in NEEDED if name not in dict(settings.others)]
    found = stored_rows(tables.results, missing)
    out.tables["stored"] = jsonable(found)
    for name in missing:
        if name not in found:
            out.gaps.append(
                Gap(
                    f"No weights for the row {name}, and no stamped result of it",
                    "Its rows of Tables 1 to 3 were not run.",
                    f"Train them ({NEEDED[name]}) and give --row {name}=BUNDLE.",
                )
            )
