"""Resumes a stored run and shows it as it happens. The run's agent is found by name in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from agno_rt.agent import Agent
from agno_rt.cli.choose_agent import Changes, change_agent
from agno_rt.cli.open_memory import Place
from agno_rt.cli.run_agent.conversation import open_conversation
from agno_rt.cli.run_agent.decide_approvals import can_ask, settle_run
from agno_rt.cli.run_agent.display import Display
from agno_rt.cli.run_agent.outcome import exit_code, result_json, show_paused, show_sources
from agno_rt.cli.target import Target
from agno_rt.errors import AgnoError, NotFound
from agno_rt.result import RunResult
from agno_rt.run_store import Resume, RunRecord

if TYPE_CHECKING:
    from agno_rt.library.citations import Citation

__all__ = ["ResumeOptions", "resume_run"]


@attrs.frozen
class ResumeOptions:
    """Options of resuming a run.

    Attributes:
        force: take over a run that seems to be running elsewhere
        as_json: print the result as JSON
        reasoning: show the model's reasoning; `None` for only in a terminal
        changes: the options that changed the agent when the run began
    """

    force: bool = False
    as_json: bool = False
    reasoning: bool | None = None
    changes: Changes = Changes()


def resume_run(place: Place, record: RunRecord, going: ResumeOptions) -> int:
    """Resume the run until its end or the next pause, and return the exit code. Raises the error of a failed run."""
    try:
        result, citations = _ask_to_resume(place, record, going)
    except AgnoError as exc:
        if going.as_json:
            click.echo(result_json(exc.result, record.session, exc))
        raise
    if going.as_json:
        click.echo(result_json(result, record.session, None, citations))
    else:
        show_sources(citations)
    if result.status == "paused":
        show_paused(result, place.options() + going.changes.options())
    return exit_code(result)


def _ask_to_resume(place: Place, record: RunRecord, going: ResumeOptions) -> tuple[RunResult, list[Citation]]:
    project = place.project()
    agent, host = project.runnables.get(record.agent), project.plugins()
    if agent is None and host.provides(record.agent.partition(":")[0], "models"):
        agent = Agent(record.agent, name=record.agent)  # as made by `agno-rt run` for a model
    if agent is None:
        hint = "Name the agent's project with --config: its agno-rt.toml, or the file with the agent."
        raise NotFound("agent", record.agent, project.runnables, where=f"of run {record.id}", hint=hint)
    agent = change_agent(agent, going.changes, host)
    provisional = Target(agent, project, "").provisional
    display = Display(provisional=provisional, answer=not going.as_json, reasoning=going.reasoning)
    with open_conversation(project, agent) as conversation:
        result = conversation.ask(Resume(record.id, going.force), None, display)
        if can_ask() and not going.as_json:
            result = settle_run(conversation, result, display)
        return result, conversation.citations(result)
