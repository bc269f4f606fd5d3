"""Responses in the background: made by a stored run, and read by any worker.

The response is kept at once, as in progress. A request for the response looks at the run; once the
run is over, the response is made of the run's steps, and kept whole.
"""

from __future__ import annotations

import time
from typing import Any

from agno_rt import Message, RunResult, Usage
from agno_rt.errors import NotFound
from agno_rt.events import ModelStarted, ReasoningDelta, TextDelta
from agno_rt.run_store import Entry, RunRecord, RunStore
from agno_rt.steps import read_steps
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.openai.responses.body import ResponseBody
from agno_rt_serve.api.openai.responses.store import Kept, ResponseStore
from agno_rt_serve.api.openai.responses.stream import ResponseEvents
from agno_rt_serve.api.openai.structured import is_typed
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import Reach
from agno_rt_serve.errors import HttpError

__all__ = ["check_background", "find_kept", "is_under_way"]

_OWN = ("tools", "temperature", "max_output_tokens")


def check_background(asked: ResponseBody) -> None:
    """Raise `Refused` for a request beyond the agent's own settings.

    Another process may take over a run in the background, and knows only the agent's name.
    """
    if asked.stream:
        raise Refused(
            "background does not go with stream", "background", "Leave `stream` out, and ask for the response."
        )
    if not asked.is_stored:
        raise Refused("background needs a stored response", "background", "Leave `store` out.")
    for name in _OWN:
        if getattr(asked, name) not in (None, []):
            raise Refused(f"background does not go with {name}", "background", f"Leave `{name}` out, or `background`.")
    if asked.text is not None and asked.text.format is not None and asked.text.format.type != "text":
        raise Refused("background does not go with text.format", "background", "Leave one of the two out.")


def is_under_way(kept: Kept) -> bool:
    """Return whether the response is still in progress, as far as is kept."""
    return bool(kept.response["status"] == "in_progress")


async def find_kept(site: Site, store: ResponseStore, id: str, reach: Reach, param: str) -> Kept:
    """Return the response within reach, brought up to date with the run.

    Raises `Refused` 404, whose `param` names the part of the request.
    """
    kept, version = await store.load_version(id, reach, param)
    if not is_under_way(kept):
        return kept
    run = id.removeprefix("resp_")
    memory = site.runtime.memory
    assert isinstance(memory, RunStore), "a response in the background has a stored run"
    try:
        record, entries = await memory.load_run(run)
    except NotFound:
        _fail(kept.response, "stopped", "the run of this response was deleted")
    else:
        if record.status == "running":
            if not site.settings.wakes and await site.runtime.find_stopped([record]):
                _fail(kept.response, "stopped", "the server that made this response is gone")
            return kept
        agent = site.project.runnables.get(record.agent)
        _finish(kept.response, record, entries, hold=agent is not None and is_typed(agent))
    said = kept.response["output"][-1]["content"][0]["text"] if kept.response["output"] else ""
    messages = [Message("assistant", said)] if said and kept.response["status"] == "completed" else []
    await store.replace(kept, version, messages)
    return kept


def _finish(response: dict[str, Any], record: RunRecord, entries: list[Entry], *, hold: bool) -> None:
    """Make the response whole, of the steps of a finished run."""
    events = ResponseEvents(response, hold=hold, whole=True)
    usage = Usage()
    for step in read_steps(entries, record.id):
        if step.kind != "answered":
            continue
        usage += step.usage or Usage()
        events.feed(ModelStarted(record.id, "", step.turn or 1))
        if step.reasoning:
            events.feed(ReasoningDelta(step.reasoning, record.id))
        if step.content:
            events.feed(TextDelta(step.content, record.id))
    if record.status == "completed":
        result: RunResult = RunResult(record.id, "completed", record.content, usage=usage)
        events.finish_items(result, (), int(time.time()))
        return
    code = "cancelled" if record.status == "cancelled" else record.code or record.status
    told = {
        "paused": "the run waits for a person",
        "cancelled": "the response was cancelled",
        "limited": "the run reached a limit for one run, and was stopped",
    }
    events.fail(HttpError(500, code, told.get(record.status, "the run failed in the server")))


def _fail(response: dict[str, Any], code: str, message: str) -> None:
    response |= {"status": "failed", "error": {"code": code, "message": message}}
