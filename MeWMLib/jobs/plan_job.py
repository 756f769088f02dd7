"""The two jobs that write a plan folder: `plan` (search) and `simulate` (one protocol that the user names)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from MeWMLib.core.beside import without
from MeWMLib.core.bundle import Part
from MeWMLib.core.errors import CancelledError
from MeWMLib.core.outcome import CrossCheck, Outcome, Risk
from MeWMLib.core.outcome_words import interval_text
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import Candidate, Plan, PlanSettings, replica_seeds
from MeWMLib.core.plan_folder import (
    BY_USER,
    NAMED,
    PLAN,
    BundleFacts,
    LabelsUsed,
    PlanDocument,
    PlanFolder,
    TreatmentSummary,
)
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.questions import Question
from MeWMLib.core.records import from_plain, to_plain
from MeWMLib.core.territory import Territory
from MeWMLib.core.written import Sample
from MeWMLib.jobs.inputs import (
    Case,
    asked_for,
    inputs_used,
    plan_settings,
    protocol_of,
    targets_of,
    territory_of,
)
from MeWMLib.jobs.kept import key_of
from MeWMLib.jobs.task import Task
from MeWMLib.planning.beside import beside
from MeWMLib.planning.explain import contributions
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import SearchCancelled
from MeWMLib.policy.permission import require_allowed, require_indicated
from MeWMLib.policy.rules import blocking, check
from MeWMLib.world.assessment import known_phase
from MeWMLib.world.questions import question_limits
from MeWMLib.world.written import Before, WrittenTissue, measure_written

if TYPE_CHECKING:
    from MeWMLib.world.model import WorldModel

#: After a cancel, volumes are still saved for so long (seconds); one is always saved.
SAVE_AFTER_CANCEL_S = 15.0
#: Protocols that are simulated together between two looks at a cancel.
TOGETHER = 2
_NOTHING = Plan((), (), "cancelled", 0)
#: A candidate, and whether to hurry, to its outcomes.
Outcomes = Callable[[Candidate, bool], Sequence[Outcome]]
#: Draws what `Outcomes` will ask for of a candidate.
Draw = Callable[[Candidate], None]


@dataclass
class _Work:
    """A patient in a loaded world, and the folder that a plan for them is written to."""

    task: Task
    case: Case
    settings: PlanSettings
    folder: PlanFolder
    world: WorldModel
    patient: Patient
    labels: LabelsUsed
    questions: tuple[Question, ...]

    def document(self, space: ActionSpace) -> PlanDocument:
        """Everything in plan.json that is known before the search."""
        job, bundle = self.task.job, self.world.bundle
        training = bundle.manifest.training
        return PlanDocument(
            plan=_NOTHING,
            case=self.case.name,
            goal=str(job.inputs.get("goal") or ""),
            goal_reading=self.patient.goal,
            clinical=self.patient.clinical,
            seed=job.seed,
            device=self.world.device,
            settings=self.settings,
            bundle=BundleFacts(bundle.name, bundle.sha256, bundle.part_sha256),
            versions=self.task.engine.versions(),
            findings=self.patient.findings,
            policy=space,
            labels=self.labels,
            treated=self.treated(),
            questions=(*self.questions, *self.outside),
            phase=self.phase,
            inputs=inputs_used(job, case=self.case.ct),
            asked=asked_for(job),
            trained_on=training.text if training is not None else "",
            risk_from=_risk_from(bundle.manifest.parts.get("survival")),
        )

    @cached_property
    def outside(self) -> tuple[Question, ...]:
        """What of the case lies outside of what the bundle was trained on; said once, beside the result."""
        training = self.world.bundle.manifest.training
        if training is None:
            return ()
        weeks = self.settings.weeks if self.world.simulator.whole else None
        return question_limits(self.patient, training, self.phase, weeks, self.case.synthetic)

    def treated(self) -> TreatmentSummary:
        """What is treated in this session; what the segmenter says of it only after it was asked for an outcome."""
        found, session = self.world.treatment_summary(self.patient, ask=False), self.patient.session
        return found if session is None else found.with_session(session)

    @property
    def territory(self) -> Territory | None:
        """What is fed; the same for every protocol."""
        return self.patient.session.territory if self.patient.session is not None else None

    def write(self, document: PlanDocument) -> PlanDocument:
        """Write plan.json, and before the first time the volumes before treatment that it names."""
        if not document.files:
            document = replace(document, files=self.folder.write_before(self.case.ct, self.patient.labels))
        self.folder.write(document)
        return document

    def save(self, document: PlanDocument, outcomes_of: Outcomes, draw: Draw | None = None) -> dict[str, Any]:
        """Write the volumes of the best protocols and, when all of them are there, the final plan.json.

        With `draw` the replicas of one protocol are drawn while the one before it is measured and packed, which keeps
        a single core busy.
        """
        task, report = self.task, self.task.report
        # it is not finished before its volumes are there: a run that is killed meanwhile leaves one that was cut short
        found = document.plan
        document = replace(self.write(replace(document, plan=replace(found, stopped_by="cancelled"))), plan=found)
        candidates = list(document.plan.candidates)
        kept, stopped_by = candidates[: self.settings.keep], document.plan.stopped_by
        deadline: float | None = None
        drawn: Future[None] | None = None
        with report.stage("simulate", "Writing the best protocols as volumes"), ThreadPoolExecutor(1) as ahead:
            for n, candidate in enumerate(kept):
                if drawn is not None:
                    with suppress(SearchCancelled):
                        drawn.result()
                if task.cancelled():
                    stopped_by = "cancelled"
                    deadline = deadline or time.monotonic() + SAVE_AFTER_CANCEL_S
                    if n and time.monotonic() > deadline:
                        break
                outcomes = outcomes_of(candidate, deadline is not None)
                if draw is not None and n + 1 < len(kept) and not task.cancelled():
                    drawn = ahead.submit(draw, kept[n + 1])
                candidates[n] = self.written(candidate, outcomes)
                report.progress((n + 1) / len(kept), f"{n + 1} of {len(kept)}: {candidate.protocol.text}")
            pair = document.beside
            if pair is not None and not task.cancelled():
                mine = self.written(pair.mine, outcomes_of(pair.mine, False))
                document = replace(document, beside=replace(pair, mine=mine, first=candidates[0]))
        plan = replace(document.plan, candidates=tuple(candidates), stopped_by=stopped_by)
        document = replace(document, plan=plan, treated=self.treated())
        self.folder.write(replace(document, tables=self.folder.write_tables(document)))
        self.folder.write_run(report.timings())
        if not plan.cancelled:
            self.folder.drop_journal()
        return {"plan": PLAN, "labels": to_plain(self.labels), "device": self.world.device, **_summary(plan)}

    @cached_property
    def before(self) -> Before:
        """The scan before treatment, which every written volume is measured against."""
        parts, kept = (self.case.ct, self.patient.labels, self.phase), self.task.engine.kept
        if kept is None:
            return Before.of(*parts)
        found: Before = kept.before.get(key_of(*parts), lambda: Before.of(*parts))
        return found

    @cached_property
    def phase(self) -> str:
        """Contrast phase of the scan."""
        return known_phase(self.case.ct).phase

    def written(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> Candidate:
        """Write the volumes of one candidate; returns it with their names and with what was measured in them."""
        shown = next((one for one in outcomes if one.nearest), outcomes[0])
        ct, spread = shown.ct, self.world.spread(outcomes) if len(outcomes) > 1 else None
        if candidate.forbidden and ct.simulated is not None:
            ct = replace(ct, simulated=replace(ct.simulated, forbidden=candidate.forbidden))
        tissue = WrittenTissue.of(self.before, ct, shown.labels, shown.viable)
        sample = Sample(shown.seed, len(outcomes))
        with ThreadPoolExecutor(1, "mewm-writing") as writing:
            # packing and measuring read the same volumes, and neither holds up the other
            written = writing.submit(self.folder.write_kept, candidate.rank, ct, shown.labels, spread, tissue.segments)
            numbers = measure_written(self.before, ct, shown.labels, sample, tissue)
            files = written.result()
        scores = [one.score for one in outcomes if one.score is not None]
        # by which judge the risk changes was asked of all replicas, or is not known
        viable = CrossCheck.over(scores) if len(scores) == len(candidate.risk.replicas) else None
        return replace(candidate, files=files, look=shown.look, written=numbers, viable=viable or candidate.viable)


def _risk_from(survival: Part | None) -> tuple[str, ...]:
    """The covariates of a survival model that looks at no image; empty for one that does."""
    config = survival.config if survival is not None else {}
    return () if config.get("images", True) else tuple(map(str, config.get("covariates", ())))


def plan(task: Task) -> dict[str, Any]:
    """Search the protocol with the lowest predicted risk; plan.json is there from the first improvement on."""
    return _in_folder(task, _search)


def simulate(task: Task) -> dict[str, Any]:
    """Simulate one protocol; the folder is that of a plan with one candidate."""
    return _in_folder(task, _simulate_one)


def _in_folder(task: Task, work: Callable[[_Work], dict[str, Any]]) -> dict[str, Any]:
    settings = plan_settings(task.job)
    # before anything is read: nobody waits for minutes to hear that a protocol is forbidden
    protocol, insists = protocol_of(task.job), bool(task.job.inputs.get("allow_forbidden"))
    territory_of(task.job), targets_of(task.job)
    clinical, goal = task.goal()
    if protocol is not None:
        require_allowed(protocol, clinical, insists, goal=goal)
    require_indicated(clinical, insists)
    folder = PlanFolder(str(task.job.out)).require_writable()
    ready = task.patient()
    if protocol is not None:
        # some rules ask for what was measured on the labels
        patient = ready.patient
        require_allowed(protocol, patient.clinical, insists, patient.findings, patient.goal)
    used, settings = from_plain(LabelsUsed, to_plain(ready.entry)), ready.world.settled(settings)
    try:
        return work(_Work(task, ready.case, settings, folder, ready.world, ready.patient, used, ready.questions))
    finally:
        folder.leave()


def _search(work: _Work) -> dict[str, Any]:
    task, world, settings = work.task, work.world, work.settings
    report, seed = task.report, task.job.seed
    with report.stage("propose", "Proposing drugs and embolics"):
        space = task.propose(world, work.patient, settings)
        document = work.document(space)
    task.check_cancelled()

    def on_plan(found: Plan, fraction: float) -> None:
        nonlocal document
        found = found.fed(work.territory)
        if found.evaluated > document.plan.evaluated:
            # until the search has ended, this is what a killed run leaves: a plan that was cut short
            document = work.write(replace(document, plan=replace(found, stopped_by="cancelled")))
            report.partial(_best_line(found), _summary(found))
        report.progress(fraction, _best_line(found))

    with report.stage("plan", "Searching"):
        journal = Journal(work.folder.journal_file(), world.journal_key(work.patient, space, settings, seed))
        try:
            if len(journal):
                report.log(f"Resuming from the journal of a run that was stopped: {len(journal)} batches are known")
            found = world.plan(work.patient, space, settings, seed, on_plan, task.cancelled, journal).fed(
                work.territory
            )
        except CancelledError:
            found = document.plan
            if not document.files:
                raise
        finally:
            journal.close()
            if not len(journal):
                work.folder.drop_journal()
    if task.cancelled():
        found = replace(found, stopped_by="cancelled")
        if not found.evaluated:
            task.check_cancelled()
    seeds = replica_seeds(seed, settings.replicas)
    document = replace(document, plan=found)
    mine = _named(work)
    if found.best is not None and not task.cancelled():
        document = _left_out(work, document, seeds) if mine is None else _beside(work, document, mine, seeds)

    def compared(candidate: Candidate) -> bool:
        # what the segmenter says of it is shown of the first protocol and of the user's
        return candidate.rank == 1 or (mine is not None and candidate.protocol == mine)

    def outcomes_of(candidate: Candidate, hurry: bool) -> Sequence[Outcome]:
        # in a hurry the first replica must do; it is the one that is written
        wanted = seeds[:1] if hurry else seeds
        return world.simulate(work.patient, candidate.protocol, wanted, settings, compared=compared(candidate))

    def draw(candidate: Candidate) -> None:
        ready = world.simulator.prepare(world.in_session(work.patient, candidate.protocol))
        trials = [(candidate.protocol, one) for one in seeds]
        world.simulator.draw(ready, trials, settings, task.cancelled, compared(candidate))

    # a GPU is busy with one protocol at a time as it is
    return work.save(document, outcomes_of, draw if world.simulator.abreast.count > 1 else None)


def _judged(work: _Work, protocols: Sequence[Protocol], seeds: tuple[int, ...]) -> list[Candidate]:
    """Protocols that are simulated for a comparison, with the seeds of the plan."""
    judged: list[Candidate] = []
    for n in range(0, len(protocols), TOGETHER):
        work.task.report.progress(n / len(protocols), f"Simulating {protocols[n].text}")
        some = protocols[n : n + TOGETHER]
        judged += work.world.judge(work.patient, some, seeds, work.settings, work.task.cancelled)
    return judged


def _left_out(work: _Work, document: PlanDocument, seeds: tuple[int, ...]) -> PlanDocument:
    """The document with what each action of the first protocol moved: what the search has not simulated without it is
    simulated now. After a cancel it stays as it is."""
    first = document.plan.best
    assert first is not None  # asked before
    risks = {c.protocol: c.risk for c in document.plan.candidates}
    less = [without(first.protocol, action) for action in first.protocol.actions]
    told = [one if one.risk_without is not None else None for one in first.contributions] or [None] * len(less)
    if first.risk.untreated is not None:
        risks.setdefault(Protocol(()), Risk((first.risk.untreated,)))
    open_ = [p for p, known in zip(less, told, strict=True) if known is None]
    new = [p for p in dict.fromkeys(open_) if p.actions and p not in risks]
    if new:
        with work.task.report.stage("beside", "Simulating the first protocol without each of its actions"):
            try:
                risks |= {c.protocol: c.risk for c in _judged(work, new, seeds)}
            except SearchCancelled:
                return document
    found = contributions(first.protocol, risks, document.plan.comparison)
    moved = replace(first, contributions=tuple(old or now for old, now in zip(told, found, strict=True)))
    return replace(document, plan=replace(document.plan, candidates=(moved, *document.plan.candidates[1:])))


def _beside(work: _Work, document: PlanDocument, mine: Protocol, seeds: tuple[int, ...]) -> PlanDocument:
    """The document with the user's protocol beside the first one; without it after a cancel."""
    task, patient, plan = work.task, work.patient, document.plan
    assert plan.best is not None  # asked before

    def judge(protocols: Sequence[Protocol]) -> list[Candidate]:
        return _judged(work, protocols, seeds)

    def forbids(protocol: Protocol) -> list[str]:
        found = check(protocol, patient.clinical, findings=patient.findings, goal=patient.goal)
        return [f.rule for f in blocking(found, patient.goal)]

    with task.report.stage("beside", f"Simulating {mine.text}"):
        try:
            found = beside(mine, plan.best, judge, forbids, plan.candidates, plan.comparison)
        except SearchCancelled:
            task.report.log("Stopped before your protocol was compared with the first one")
            return document
    candidates = (replace(plan.best, contributions=found.first.contributions), *plan.candidates[1:])
    return replace(document, plan=replace(plan, candidates=candidates), beside=found)


def _simulate_one(work: _Work) -> dict[str, Any]:
    task, world = work.task, work.world
    protocol = _named(work)
    assert protocol is not None  # `JobKind.check` asked for it
    reasons = {name: "Named by the user" for name in protocol.agents}
    document = work.document(ActionSpace(protocol.drugs, protocol.embolics, reasons, BY_USER))
    with task.report.stage("plan", f"Simulating {protocol.text}"):
        outcomes = world.simulate(work.patient, protocol, task.job.seed, work.settings)
        task.check_cancelled()
        candidate = world.candidate(work.patient, protocol, outcomes)
    return work.save(replace(document, plan=Plan((candidate,), (), "finished", 1), kind=NAMED), lambda *_: outcomes)


def _named(work: _Work) -> Protocol | None:
    """The protocol that the user named, given into the territory of the session."""
    protocol = protocol_of(work.task.job)
    return protocol.fed(work.territory) if protocol is not None else None


def _best_line(found: Plan) -> str:
    """One line about the best candidate so far."""
    if found.best is None:
        return f"{found.evaluated} protocols simulated, none complete yet"
    best = found.best
    told = ", ".join(filter(None, (best.protocol.text, best.risk.text, interval_text(best.risk))))
    return f"{found.evaluated} protocols simulated; best so far: {told}"


def _summary(found: Plan) -> dict[str, Any]:
    best = found.best
    return {
        "candidates": len(found.candidates),
        "evaluated_protocols": found.evaluated,
        "stopped_by": found.stopped_by,
        "best": {"protocol": best.protocol.text, "risk": best.risk.log_risk} if best else None,
    }
