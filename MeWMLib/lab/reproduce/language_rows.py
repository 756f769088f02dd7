"""Rows of Table 2 by language models, with what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.core.errors import EndpointError, PolicyError
from MeWMLib.core.io import read_labels
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.reproduce.language import DirectPlan, language_row
from MeWMLib.lab.reproduce.patient import LABELS
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.table2 import PolicySettings, policy_rows
from MeWMLib.lab.reproduce.two_stage import TwoStagePlan
from MeWMLib.policy.choose import SLICES
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import find_endpoint
from MeWMLib.policy.llm.images import slices_png
from MeWMLib.policy.proposal import Policy, PolicyInput, Proposal


def language_table(
    records: Sequence[Record], cohort: Cohort, names: Sequence[str], settings: PolicySettings, bundle: str | None
) -> dict[str, Any]:
    """Ask every model about every patient with a recorded protocol, once (answers are cached by the client).

    Args:
        records: of the patients.
        cohort: their scans, for pictures.
        names: see `_row_of`.
        settings: how policies are measured.
        bundle: only named in the result, since pictures of patients without labels follow its segmenter.

    Returns:
        JSON-ready: `rows`, `usage` (row to endpoint to requests, tokens, cost, seconds), `unusable` (row to how many
        answers could not be used, and why), `gaps`.
    """
    out: dict[str, Any] = {"rows": {}, "usage": {}, "unusable": {}, "refused": {}, "gaps": [], "bundle": bundle}
    gold = [r for r in records if r.gold is not None]
    for text in names:
        try:
            row, policy = _row_of(text, settings.among)
            asked, once = _Asked(policy), replace(settings, repeats=1)
            pictures = partial(_pictures, cohort) if _looks(policy) else None
            found = policy_rows(gold, once, {row: asked}, pictures)
        except EndpointError as error:
            out["gaps"].append(f"{text}: {error}")
            continue
        out["rows"] |= found.rows
        out["refused"] |= found.refused
        out["gaps"] += found.gaps
        out["usage"][row] = asked.usage
        if isinstance(policy, DirectPlan | TwoStagePlan) and policy.unusable:
            out["unusable"][row] = {"answers": len(policy.unusable), "first": policy.unusable[0]}
    return out


class _Asked:
    """A policy whose tokens and cost are known after the last patient.

    Args:
        policy: the language model.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self.usage: dict[str, Any] = {}

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Ask about a patient."""
        proposal = self._policy.propose(case, settings)
        self.usage = proposal.usage
        return proposal


def _row_of(text: str, among: tuple[str, ...] | None) -> tuple[str, Policy]:
    """Row and policy: stages:OBSERVER+ACTOR, or one of `language.language_row`.

    Raises:
        PolicyError: not two names.
        EndpointError: an endpoint is not known.
    """
    if not text.startswith("stages:"):
        return language_row(text, among)
    names = text.removeprefix("stages:").split("+")
    if len(names) != 2:
        raise PolicyError(what="Two stages need two endpoints", given=text, remedy="Write stages:OBSERVER+ACTOR")
    observer, actor = (ChatClient(find_endpoint(name)) for name in names)
    policy = TwoStagePlan(observer, actor, among)
    return policy.name, policy


def _looks(policy: Policy) -> bool:
    """True for a model that is shown pictures."""
    client = policy.client if isinstance(policy, DirectPlan | TwoStagePlan) else getattr(policy, "proposer", None)
    return client is not None and bool(client.endpoint.images)


def _pictures(cohort: Cohort, record: Record) -> tuple[bytes, ...]:
    """Slices of a patient, without any metadata."""
    ct, labels = _images(cohort, record)
    return slices_png(ct, labels, SLICES) if labels is not None else ()


def _images(cohort: Cohort, record: Record) -> tuple[Volume, LabelMap | None]:
    """The scan before and its labels; those of the segmenter are kept beside the patient's numbers."""
    case = cohort.case(record.id)
    own = record.kept.folder / LABELS
    if own.exists():
        return case.before, read_labels(own, case.before.geometry)
    return case.before, case.before_labels
