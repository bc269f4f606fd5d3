"""Runs a program in a worker process of Monty, and answers the calls by the agent's tools."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import pydantic_monty as monty
import trio

from agno_rt.context import RunContext
from agno_rt.messages import Message
from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_codemode.settings import CodeSettings
from agno_rt_codemode.stubs import name_arguments

__all__ = ["run_program"]

T = TypeVar("T")

LONGEST = 4_000
"""The most characters of a traceback."""

DEPTH = 200
"""The deepest recursion of a program."""


async def run_program(
    pool: monty.Monty, code: str, context: RunContext, tools: Mapping[str, Tool], settings: CodeSettings
) -> str:
    """Run the program, and return the printed text with the last value.

    Raises `ToolArgumentError`, with text for the model, for a failed program and for an exceeded limit. A cancellation
    kills the worker process, and so does a pause.
    """
    limits = monty.ResourceLimits(
        max_feed_duration_secs=settings.seconds,
        max_memory=settings.memory,
        max_recursion_depth=DEPTH,
        max_suspensions=settings.calls + 100,
    )
    # A resumed run makes the same calls again, so nothing of the world may differ: neither clock nor chance.
    call = context.call
    seed = hashlib.sha256(f"{context.run_id} {'' if call is None else call.id}".encode()).digest()
    policy = monty.OSPolicy(
        datetime="call_host", sleep="zero", random_start={"seed": int.from_bytes(seed[:8], "big") >> 1}
    )
    session = pool.checkout(limits=limits, os_policy=policy)
    printed = monty.CollectString(4 * settings.characters)
    # Entering waits for a worker: not abandoned, since a late worker would not be returned to the pool.
    await trio.to_thread.run_sync(session.__enter__)
    pid, is_over = session.worker_pid, False
    try:
        snapshot = await _in_thread(session.feed_start, code, print_callback=printed)
        count = 0
        while not isinstance(snapshot, monty.MontyComplete):
            if isinstance(snapshot, monty.FunctionSnapshot):
                count += 1
                answer = await _answer_call(snapshot, context, tools, is_beyond=count > settings.calls)
                snapshot = await _in_thread(snapshot.resume, answer)
            elif isinstance(snapshot, monty.NameLookupSnapshot):
                snapshot = await _in_thread(snapshot.resume)
            else:
                raise ToolArgumentError("The program waits for nothing. Call tools without `await`.")
        is_over = True
        return _show_result(printed.output, snapshot.output, settings.characters)
    except (monty.MontyError, monty.MontyConversionError) as exc:
        raise ToolArgumentError(_explain_failure(exc, printed.output, settings)) from exc
    finally:
        if not is_over and pid is not None:
            # The program may compute on, in a thread that nobody waits for any more.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        with trio.CancelScope(shield=True), suppress(monty.MontyError, RuntimeError):
            await trio.to_thread.run_sync(session.__exit__, None, None, None)


async def _in_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    return await trio.to_thread.run_sync(lambda: function(*args, **kwargs), abandon_on_cancel=True)


async def _answer_call(
    snapshot: monty.FunctionSnapshot, context: RunContext, tools: Mapping[str, Tool], *, is_beyond: bool
) -> Any:
    """Answer a call of the program: the tool's result, or an exception to raise in the program."""
    name = str(snapshot.function_name)
    if snapshot.is_os_function:
        return _make_failure(
            "OSError", f"{name} is not there: a program has neither files nor clock nor network. Use a tool."
        )
    if is_beyond:
        return _make_failure("RuntimeError", "The program has made too many calls.")
    arguments = name_arguments(tools.get(name), snapshot.args, snapshot.kwargs)
    if isinstance(arguments, str):
        return _make_failure("TypeError", arguments)
    try:
        msgspec.json.encode(arguments)
    except (TypeError, ValueError) as exc:
        return _make_failure("TypeError", f"the arguments of {name} have to be JSON values: {exc}")
    result = await context.call_tool(name, arguments)
    content = result.content if isinstance(result.content, str) else Message("tool", result.content).text
    if result.status == "failed":
        return _make_failure("RuntimeError", content)
    return {"return_value": _read_value(content)}


def _make_failure(kind: str, message: str) -> dict[str, str]:
    return {"exc_type": kind, "message": message}


def _read_value(text: str) -> Any:
    """Return the objects and lists of a tool as values, and all else as text: a text of digits stays a text."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text


def _show_result(printed: str, value: Any, most: int) -> str:
    parts = [_cut_text(printed.rstrip("\n"), most)] if printed.strip() else []
    if value is not None:
        parts.append(_cut_text(value if isinstance(value, str) else _encode_value(value), most))
    return "\n".join(parts) or "The program printed nothing, and its last line has no value."


def _encode_value(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return repr(value)


def _cut_text(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}\n[... {len(text) - most:,} more characters]"


def _explain_failure(exc: monty.MontyError, printed: str, settings: CodeSettings) -> str:
    """Return the text for the model: the traceback, after the printed text."""
    if isinstance(exc, monty.MontyCrashedError):
        text = f"The program was killed: it took longer than {settings.seconds:g} seconds, or its process failed."
    else:
        display = getattr(exc, "display", None)
        text = str(display() if display is not None else exc)
    if len(text) > LONGEST:  # the last lines name the fault
        text = f"{text[: LONGEST // 4]}\n[...]\n{text[-LONGEST // 2 :]}"
    return "\n".join(filter(None, (_cut_text(printed.rstrip("\n"), settings.characters), text)))
