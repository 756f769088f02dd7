"""The goal before a job starts: it is echoed as it was understood, and what it leaves open is asked."""

from __future__ import annotations

import sys
from dataclasses import replace

from MeWMLib.cli.output import Output
from MeWMLib.core.clinical import Clinical
from MeWMLib.core.goal import Goal
from MeWMLib.core.terminal import agreed
from MeWMLib.jobs.inputs import clinical_of
from MeWMLib.jobs.job import Job
from MeWMLib.policy.goal import echo, read_goal, require_answered, with_facts


def read(job: Job) -> tuple[Clinical, Goal]:
    """The clinical data of a job with what its goal states, and the goal as it was read."""
    return with_facts(read_goal(str(job.inputs.get("goal") or "")), clinical_of(job))


def confirmed(job: Job, output: Output) -> Job:
    """Show how the goal of a job was understood, and ask where it leaves a question open.

    Returns:
        The job; with `accept_goal` if the user went on with the reading.

    Raises:
        GoalQuestionError: a question is open, and nobody who could answer it sees it.
    """
    _, goal = read(job)
    settled = not goal.questions or bool(job.inputs.get("accept_goal"))
    # a question that nobody can see is not asked
    seen = sys.stdin.isatty() and sys.stderr.isatty()
    # the error tells the questions itself
    for line in echo(goal, asked=settled or seen):
        output.notice(line)
    if settled:
        return job
    if seen and agreed("Go on with this reading?"):
        return replace(job, inputs={**job.inputs, "accept_goal": True})
    require_answered(goal)
    return job
