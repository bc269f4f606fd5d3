"""A server as a child process: pipes as streams of messages for the protocol's SDK, and a sure end.

The server leads a process group of its own. A helper process ends the group if this process is killed.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import mcp_types
import trio
from mcp.shared.message import SessionMessage

from agno_rt_mcp.errors import ServerError, ServerLost, ServerNonsense, ServerUnavailable
from agno_rt_mcp.link import Link
from agno_rt_mcp.settings import ServerSettings, fill_secrets

__all__ = ["open_process_streams"]

INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""The variables of this process for a server. The others may be secrets."""

NONSENSE = 100
"""The most lines in a row outside of the protocol. Some programs print a greeting or a log there."""

_TAIL = 2_000  # bytes of a server's last words
_LAST_WORDS = 0.5  # seconds to wait for an exit status after the end of the output
# The kernel closes the helper's input at the end of this process; then the helper ends the group.
_WATCHER = 'read -r _; kill -TERM "-$1" 2>/dev/null; sleep "$2"; kill -KILL "-$1" 2>/dev/null'


@asynccontextmanager
async def open_process_streams(settings: ServerSettings, link: Link) -> AsyncIterator[Any]:
    """Start the server, and yield the streams of messages. At the end the process group is gone.

    Raises `ServerUnavailable` if the server cannot be started. `link` learns of the end of the server.
    """
    process = await _start_process(settings)
    watcher: trio.Process | None = None
    server = _Server(settings, link, process)
    try:
        watcher = await _start_watcher(process.pid, settings.grace)
        incoming, read_stream = anyio.create_memory_object_stream[Any](0)
        write_stream, outgoing = anyio.create_memory_object_stream[Any](0)
        async with trio.open_nursery() as nursery, incoming, read_stream, write_stream, outgoing:
            nursery.start_soon(server.read_messages, incoming)
            nursery.start_soon(server.write_messages, outgoing)
            nursery.start_soon(server.read_stderr)
            try:
                yield read_stream, write_stream
            finally:
                link.is_closing = True
                with trio.CancelScope(shield=True):
                    await server.stop()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await server.stop()  # if the start was cancelled
            if watcher is not None:
                with suppress(ProcessLookupError):
                    watcher.kill()
                await watcher.wait()
                assert watcher.stdin is not None
                await watcher.stdin.aclose()


async def _start_process(settings: ServerSettings) -> trio.Process:
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= fill_secrets(settings.name, settings.env)
    pipe = subprocess.PIPE
    try:
        return await trio.lowlevel.open_process(
            [settings.command, *settings.args],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=env,
            cwd=settings.cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        hint = "Install it, or write its whole path as the command." if isinstance(exc, FileNotFoundError) else ""
        raise ServerUnavailable(settings.name, f"cannot be started: {exc}", hint=hint) from exc


async def _start_watcher(group: int, grace: float) -> trio.Process | None:
    """Start the helper, which outlives this process."""
    if os.name != "posix":
        return None
    null = subprocess.DEVNULL
    command = ["/bin/sh", "-c", _WATCHER, "agno-rt-mcp", str(group), str(math.ceil(grace))]
    return await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True
    )


class _Server:
    """The process, with the last words of the server's log."""

    def __init__(self, settings: ServerSettings, link: Link, process: trio.Process) -> None:
        self._settings = settings
        self._link = link
        self._process = process
        self._tail = b""
        self._is_stopped = False

    async def read_messages(self, incoming: Any) -> None:
        """Send each message, until the output ends or breaks the protocol."""
        assert self._process.stdout is not None
        failure: ServerError | None = None
        try:
            failure = await self._read_lines(self._process.stdout, incoming)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the session has ended, and with it the interest
        self._link.lose(failure or await self._describe_end())
        await incoming.aclose()

    async def _read_lines(self, stdout: trio.abc.ReceiveStream, incoming: Any) -> ServerError | None:
        name, most = self._settings.name, self._settings.max_message
        buffer, searched, odd = bytearray(), 0, 0
        async for chunk in stdout:
            buffer += chunk
            while (end := buffer.find(b"\n", searched)) >= 0:
                line, searched = bytes(buffer[:end]).strip(), 0
                del buffer[: end + 1]
                if not line:
                    continue
                if (message := _parse_message(line)) is None:
                    odd += 1
                    if odd > NONSENSE:
                        said = line[:80].decode(errors="replace")
                        return ServerNonsense(name, f"wrote {odd} lines in a row that are not messages: {said!r}")
                    continue
                odd = 0
                await incoming.send(SessionMessage(message))
            searched = len(buffer)
            if searched > most:
                return ServerNonsense(name, f"wrote a line of more than max_message, {most:,} bytes")
        return None

    async def _describe_end(self) -> ServerLost:
        with trio.move_on_after(_LAST_WORDS):
            await self._process.wait()
        code = self._process.returncode
        how = "closed its output" if code is None else f"ended with exit status {code}"
        if code is not None and code < 0:
            how = f"was ended by signal {-code}"
        lines = self._tail.decode(errors="replace").strip().splitlines()
        last = lines[-1][:300] if lines else ""
        if last.startswith("hint: ") and len(lines) > 1:  # agno-rt itself writes an error, and then a hint
            last = f"{lines[-2].removeprefix('error: ')[:300]}. {last.removeprefix('hint: ')}"
        return ServerLost(self._settings.name, f"{how}: {last}" if last else how)

    async def write_messages(self, outgoing: Any) -> None:
        """Write each message of the session on a line."""
        assert self._process.stdin is not None
        try:
            async for each in outgoing:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                await self._process.stdin.send_all(text.encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the end of the output tells more

    async def read_stderr(self) -> None:
        """Keep the last words of the server's log. An unread pipe would stop the server."""
        assert self._process.stderr is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in self._process.stderr:
                self._tail = (self._tail + chunk)[-_TAIL:]

    async def stop(self) -> None:
        """Close the server's input; then ask its group to end; then end the group. Each wait is bounded."""
        if self._is_stopped:
            return
        self._is_stopped = True
        process, grace = self._process, self._settings.grace
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdin.aclose()
        with trio.move_on_after(grace):
            await process.wait()
        if self._signal_group(signal.SIGTERM):
            with trio.move_on_after(grace):
                await process.wait()
                while self._signal_group(0):  # noqa: ASYNC110 - nothing tells of the end of a grandchild
                    await trio.sleep(0.02)
            self._signal_group(signal.SIGKILL)
        await process.wait()
        await process.stdout.aclose()
        await process.stderr.aclose()

    def _signal_group(self, number: int) -> bool:
        """Signal the server's process group. Return whether the group has processes."""
        # The number stays taken while the group has processes, even after the leader's end.
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _parse_message(line: bytes) -> Any:
    """Return the message on a line, or None for anything else."""
    try:
        return mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return None
