"""Push notifications: the addresses that clients name for a task, kept with the memory, and told of each state.

An address is told when the run pauses, and when it ends, by the webhooks of the server: with the checks of the address,
the retries, and the signature if the server has a secret. Addresses are forgotten with the end of their task.
"""

from __future__ import annotations

import re
import uuid

import msgspec

from agno_rt import AgnoError
from agno_rt.memory import CacheStore
from agno_rt_serve import log
from agno_rt_serve.api.a2a.legacy import write_legacy_task
from agno_rt_serve.api.a2a.refusals import (
    INVALID_PARAMS,
    PUSH_NOT_SUPPORTED,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    Refusal,
)
from agno_rt_serve.api.a2a.shapes import TERMINAL, PushConfig, StreamAnswer
from agno_rt_serve.api.a2a.tasks import Shown, Tasks
from agno_rt_serve.api.runs.named_locks import NamedLocks
from agno_rt_serve.api.runs.webhooks import Webhooks
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError

__all__ = ["PushNotifications"]

KEPT_SECONDS = 30 * 86_400.0
MOST_CONFIGS = 16
"""The most addresses of a task."""

_VISIBLE = re.compile(r"[!-~]+( [!-~]+)*")


class Kept(msgspec.Struct, omit_defaults=True):
    """An address, with the version of the protocol in which the client asked for it."""

    config: PushConfig
    version: str = "1.0"


class PushNotifications:
    """Keeps addresses, and tells them of the states of tasks."""

    def __init__(self, site: Site, webhooks: Webhooks, tasks: Tasks) -> None:
        self._site = site
        self._webhooks = webhooks
        self._tasks = tasks
        self._locks = NamedLocks(site.runtime)

    @property
    def is_supported(self) -> bool:
        """Whether the server's settings let clients name addresses."""
        return self._webhooks.can_be_named

    def require(self) -> None:
        """Raise `Refusal` on a server that sends no push notifications."""
        if not self.is_supported:
            hint = "The server's operator can turn them on: [plugins.serve.webhooks] of agno-rt.toml."
            raise Refusal(PUSH_NOT_SUPPORTED, "this server sends no push notifications", hint)

    async def check(self, config: PushConfig) -> None:
        """Raise `Refusal` or `HttpError` for an address that may not be told."""
        self.require()
        await self._webhooks.check_address(config.url)
        _build_headers(config)

    async def add(self, run: str, config: PushConfig, version: str) -> PushConfig:
        """Keep a checked address, in place of any other with the same id. Return it with its id."""
        made = msgspec.structs.replace(config, id=config.id or uuid.uuid4().hex, task_id=run, tenant=None)
        async with self._locks.hold(_name(run)):
            kept = [each for each in await self._load(run) if each.config.id != made.id]
            if len(kept) >= MOST_CONFIGS:
                hint = "Delete one of them first."
                raise Refusal(UNSUPPORTED_OPERATION, f"a task has at most {MOST_CONFIGS} addresses", hint)
            await self._save(run, [*kept, Kept(made, version)])
        return made

    async def find(self, run: str, id: str) -> PushConfig:
        """Return an address of the task. Raises `Refusal`."""
        for each in await self.list_all(run):
            if each.id == id:
                return each
        raise Refusal(TASK_NOT_FOUND, f"the task has no push notification config {id!r}")

    async def list_all(self, run: str) -> list[PushConfig]:
        """Return the addresses of the task."""
        return [each.config for each in await self._load(run)]

    async def remove(self, run: str, id: str) -> None:
        """Forget an address, if there is one."""
        async with self._locks.hold(_name(run)):
            kept = await self._load(run)
            left = [each for each in kept if each.config.id != id]
            if len(left) < len(kept):
                await self._save(run, left)

    async def tell(self, run: str) -> None:
        """Tell the addresses of a run that has ended or paused. Never raises an error of the memory."""
        try:
            await self._tell(run)
        except (AgnoError, HttpError) as error:
            log.write("error", "push notification not sent", run=run, error=error.message)

    async def _tell(self, run: str) -> None:
        kept = await self._load(run)
        if not kept:
            return
        record, entries = await self._site.run_store().load_run(run)
        if record.status == "running":
            return  # somebody has answered already: the next state is told
        task = await self._tasks.render(record, entries, Shown(history=0))
        for each in kept:
            is_old = each.version == "0.3"
            media = "application/json" if is_old else "application/a2a+json"
            place = self._webhooks.make_place(each.config.url, _build_headers(each.config), media)
            told = write_legacy_task(task) if is_old else StreamAnswer(task=task)
            self._webhooks.send(place, msgspec.json.encode(told), run)
        if task.status.state in TERMINAL:
            await self._save(run, [])

    async def _load(self, run: str) -> list[Kept]:
        found = await self._store().cached(_name(run))
        return [] if found is None else msgspec.json.decode(found, type=list[Kept])

    async def _save(self, run: str, kept: list[Kept]) -> None:
        if kept:
            await self._store().cache(_name(run), msgspec.json.encode(kept), seconds=KEPT_SECONDS)
        else:
            await self._store().uncache(_name(run))

    def _store(self) -> CacheStore:
        memory = self._site.runtime.memory
        if not isinstance(memory, CacheStore):
            hint = 'Use another memory: `memory = "sqlite:///agents.db"` in [runtime] of agno-rt.toml.'
            raise Refusal(PUSH_NOT_SUPPORTED, "this server's memory cannot keep push notification configs", hint)
        return memory


def _build_headers(config: PushConfig) -> dict[str, str]:
    """Return the headers of a notification. Raises `Refusal` for values unfit for a header."""
    headers = {}
    if config.token:
        headers["x-a2a-notification-token"] = config.token
    if config.authentication is not None and config.authentication.credentials:
        headers["authorization"] = f"{config.authentication.scheme} {config.authentication.credentials}"
    for name, value in headers.items():
        if not _VISIBLE.fullmatch(value):
            hint = "Use visible characters of ASCII, and single blanks."
            raise Refusal(INVALID_PARAMS, f"the value for the header {name} has unfit characters", hint)
    return headers


def _name(run: str) -> str:
    return f"agno-rt-serve:a2a-push:{run}"
