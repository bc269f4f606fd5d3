"""Apache Airflow: list DAGs, trigger a run, ask for the state of a run.

References: "Airflow REST API" version 2 (Airflow 3, with tokens from `/auth/token`) and version 1 (Airflow 2, with a
name and a password).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs
import trio
from msgspec import Meta

from agno_rt.errors import ModelError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key
from agno_rt.tools import Tool
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt.wire.refusals import Peer
from agno_rt_services.errors import ServiceError, read_problem
from agno_rt_services.service import Definition, KeyAccess, Service, build_headers, quote_part
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import pick, shorten

__all__ = ["SERVICE", "AirflowSettings", "LoginAccess"]

MOST_TASKS = 100

Dag = Annotated[str, Meta(description="The id of the DAG.", min_length=1, max_length=250)]
RunName = Annotated[str, Meta(max_length=250)]


@attrs.frozen(kw_only=True, slots=False)
class AirflowSettings(ServiceSettings):
    """The settings of Airflow. `api` is `v2` for Airflow 3, and `v1` for Airflow 2."""

    api: Literal["v1", "v2"] = "v2"


class LoginAccess(KeyAccess):
    """The access to Airflow: version 2 gives a token for a name and a password; all else is as for other services."""

    def __init__(self, definition: Definition, settings: AirflowSettings) -> None:
        super().__init__(definition, settings)
        self._server = settings
        self._logs_in = bool(settings.user) and settings.api == "v2"
        self._client = HttpClient(settings, "services:airflow tokens", "agno-rt-services")
        self._lock = trio.Lock()
        self._token = ""

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the kept token, or log in. Raises `ServiceError` for a refused password."""
        if not self._logs_in:
            return await super().find()
        async with self._lock:
            key = self.find_key()
            if not self._token:
                self._token = await self._log_in(key)
            return Key(self._token, key.source), {"authorization": f"Bearer {self._token}"}

    def renew(self, key: Key, error: ModelError) -> bool:
        """Drop a token that the server refuses, unless another call has a new one already."""
        # Airflow 3.3 says 403 for an unknown token, and also where the account may not do something.
        if not self._logs_in or (error.status == 403 and "token" not in error.message.lower()):
            return False
        if key.text == self._token:
            self._token = ""
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _log_in(self, key: Key) -> str:
        url = self._server.url("auth/token")
        body = write_json({"username": self._server.user, "password": key.text}, "airflow")
        peer = Peer(
            name="airflow",
            provider="services:airflow",
            model="",
            url=url,
            key_source=key.source,
            secrets=self._server.secrets(key),
            read_error=read_problem,
        )
        async with self._client.post(url, body, build_headers(self._server, {}), peer) as answer:
            if answer.status in (401, 403):
                hint = f"Check user in [plugins.services.airflow], and the password in {key.source}."
                raise ServiceError("airflow refused the name or the password", hint=hint, status=answer.status)
            if answer.status == 404:
                hint = 'Airflow 2 has none: write api = "v1" in [plugins.services.airflow]. Or check base_url.'
                raise ServiceError(f"airflow gives no tokens at {peer.url}", hint=hint, status=answer.status)
            await answer.check()
            token = pick(read_json(await answer.read_all()), "access_token")
            if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
                raise answer.peer.error("answered without a token", hint='Airflow 2 needs api = "v1".')
            return token


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    root = f"api/{service.settings.api}/dags"

    @service.reading()
    async def list_dags(
        limit: Annotated[int, Meta(ge=1, le=100)] = 25,
        offset: Annotated[int, Meta(ge=0)] = 0,
        name: Annotated[str, Meta(max_length=250)] = "",
    ) -> dict[str, Any]:
        """List DAGs of Airflow.

        Args:
            limit: the most DAGs
            offset: the number of DAGs to leave out, for the next page
            name: a part of the DAG's id
        """
        found = await service.get(root, limit=limit, offset=offset, dag_id_pattern=name)
        dags = [_show_dag(each) for each in found.get("dags") or []]
        total = found.get("total_entries")
        more = isinstance(total, int) and offset + len(dags) < total and dags
        shown: dict[str, Any] = {"dags": dags, "total_entries": total}
        return shown | ({"next_offset": offset + len(dags)} if more else {})

    @service.changing()
    async def trigger_dag_run(dag_id: Dag, conf: dict[str, Any] | None = None, dag_run_id: RunName = "") -> Any:
        """Trigger a run of a DAG. The run goes on in Airflow: ask for its state by get_dag_run_status.

        Args:
            conf: the parameters of the run
            dag_run_id: a name for the run; the same name again gives the run that is there, and triggers nothing
        """
        body: dict[str, Any] = {"conf": conf or {}}
        if service.settings.api == "v2":
            body["logical_date"] = None
        if dag_run_id:
            body["dag_run_id"] = dag_run_id
        path = f"{root}/{quote_part(dag_id)}/dagRuns"
        try:
            return _show_run(await service.post(path, body, repeatable=bool(dag_run_id)))
        except ServiceError as exc:
            if exc.status != 409 or not dag_run_id:
                raise
        return _show_run(await service.get(f"{path}/{quote_part(dag_run_id)}")) | {"existed": True}

    @service.reading()
    async def get_dag_run_status(
        dag_id: Dag, dag_run_id: Annotated[str, Meta(min_length=1, max_length=250)]
    ) -> dict[str, Any]:
        """Return the state of a run of a DAG, and of its tasks."""
        path = f"{root}/{quote_part(dag_id)}/dagRuns/{quote_part(dag_run_id)}"
        run = await service.get(path)
        tasks = await service.get(f"{path}/taskInstances", limit=MOST_TASKS)
        shown = _show_run(run)
        shown["task_instances"] = [_show_task(each) for each in tasks.get("task_instances") or []]
        shown["task_count"] = tasks.get("total_entries")
        return {"dag_run": shown}

    return [list_dags, trigger_dag_run, get_dag_run_status]


def _show_dag(dag: Any) -> dict[str, Any]:
    tags = pick(dag, "tags")
    return {
        "dag_id": pick(dag, "dag_id"),
        "dag_display_name": pick(dag, "dag_display_name"),
        "description": shorten(pick(dag, "description")),
        "is_paused": pick(dag, "is_paused"),
        "schedule": pick(dag, "timetable_description"),
        "tags": [pick(tag, "name") for tag in (tags if isinstance(tags, list) else [])[:20]],
    }


_RUN = ("dag_id", "dag_run_id", "state", "logical_date", "queued_at", "start_date", "end_date", "conf", "note")
_TASK = ("task_id", "map_index", "state", "try_number", "start_date", "end_date", "duration")


def _show_run(run: Any) -> dict[str, Any]:
    return {name: pick(run, name) for name in _RUN if pick(run, name) is not None}


def _show_task(task: Any) -> dict[str, Any]:
    return {name: pick(task, name) for name in _TASK if pick(task, name) is not None}


SERVICE = Definition(
    "airflow",
    "AIRFLOW_PASSWORD",
    make_tools,
    AirflowSettings,
    address="http://localhost:8080",
    access=LoginAccess,
)
