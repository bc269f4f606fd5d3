"""Version 0.3 of the protocol in JSON-RPC, as another spelling of 1.0: names of methods, requests, answers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from agno_rt_serve.api.a2a.refusals import INVALID_PARAMS, Refusal
from agno_rt_serve.api.a2a.shapes import A2ATask, PushConfig, PushConfigs, StreamAnswer

__all__ = ["METHODS", "read_legacy", "write_legacy", "write_legacy_card", "write_legacy_task"]

Json: TypeAlias = dict[str, Any]

METHODS = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
"""The methods of 0.3, with the names in 1.0."""

_FINAL = frozenset({"completed", "failed", "canceled", "rejected", "input-required"})


def read_legacy(method: str, params: Json) -> Json:
    """Return the parameters of a method of 0.3 in the form of 1.0. Raises `Refusal`."""
    try:
        return _READERS.get(method, dict)(params)
    except (AttributeError, KeyError, TypeError) as exc:
        problem = f"the parameters of {method} do not fit version 0.3: {type(exc).__name__} {exc}"
        raise Refusal(INVALID_PARAMS, problem) from exc


def write_legacy(method: str, result: Any) -> Any:
    """Return the result of a method in the form of 0.3."""
    if isinstance(result, StreamAnswer):
        return _write_answer(msgspec.to_builtins(result))
    if isinstance(result, A2ATask):
        return write_legacy_task(result)
    if isinstance(result, PushConfigs):
        return [_write_config(each) for each in result.configs]
    if isinstance(result, PushConfig):
        return _write_config(result)
    if method == "agent/getAuthenticatedExtendedCard":
        return write_legacy_card(result)
    return None if method.endswith("/delete") else result


def write_legacy_task(task: A2ATask) -> Json:
    """Return the task in the form of 0.3."""
    return _write_task(msgspec.to_builtins(task))


def write_legacy_card(card: Json) -> Json:
    """Return the card in the form of 0.3."""
    new = ("supportedInterfaces", "securitySchemes", "securityRequirements")
    made = {name: value for name, value in card.items() if name not in new}
    capabilities = dict(card["capabilities"])
    made |= {
        "protocolVersion": "0.3.0",
        "url": card["supportedInterfaces"][0]["url"],
        "preferredTransport": "JSONRPC",
        "supportsAuthenticatedExtendedCard": capabilities.pop("extendedAgentCard"),
        "capabilities": capabilities,
    }
    if "securitySchemes" in card:
        scheme = card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]
        made["securitySchemes"] = {"bearer": {**scheme, "type": "http"}}
        made["security"] = [
            {name: scopes["list"] for name, scopes in each["schemes"].items()} for each in card["securityRequirements"]
        ]
    return made


def _read_send(params: Json) -> Json:
    message = params["message"]
    parts = [_read_part(part) for part in message["parts"]]
    roles = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}
    read = {name: value for name, value in message.items() if name != "kind"}
    read |= {"parts": parts, "role": roles.get(message["role"], message["role"])}
    made = {"message": read, "metadata": params.get("metadata")}
    if given := params.get("configuration"):
        configuration = {
            "acceptedOutputModes": given.get("acceptedOutputModes"),
            "historyLength": given.get("historyLength"),
            "returnImmediately": given.get("blocking") is False,
        }
        if push := given.get("pushNotificationConfig"):
            configuration["taskPushNotificationConfig"] = _read_config(push)
        made["configuration"] = configuration
    return made


def _read_part(part: Json) -> Json:
    kept = {"metadata": part.get("metadata")}
    if part["kind"] == "file":
        file = part["file"]
        content = {"raw": file["bytes"]} if "bytes" in file else {"url": file["uri"]}
        return {**kept, **content, "mediaType": file.get("mimeType"), "filename": file.get("name")}
    return {**kept, part["kind"]: part[part["kind"]]}


def _read_config(config: Json) -> Json:
    made = {"url": config["url"], "id": config.get("id") or "", "token": config.get("token") or ""}
    if given := config.get("authentication"):
        made["authentication"] = {"scheme": given["schemes"][0], "credentials": given.get("credentials") or ""}
    return made


_READERS: dict[str, Callable[[Json], Json]] = {
    "message/send": _read_send,
    "message/stream": _read_send,
    # Without an id the task's own: clients that set no id have one address.
    "tasks/pushNotificationConfig/set": lambda params: {
        **_read_config({"id": params["taskId"], **params["pushNotificationConfig"]}),
        "taskId": params["taskId"],
    },
    "tasks/pushNotificationConfig/get": lambda params: {
        "taskId": params["id"],
        "id": params.get("pushNotificationConfigId") or params["id"],
    },
    "tasks/pushNotificationConfig/list": lambda params: {"taskId": params["id"]},
    "tasks/pushNotificationConfig/delete": lambda params: {
        "taskId": params["id"],
        "id": params["pushNotificationConfigId"],
    },
}


def _write_answer(answer: Json) -> Json:
    if "task" in answer:
        return _write_task(answer["task"])
    if "statusUpdate" in answer:
        update = answer["statusUpdate"]
        status = _write_status(update["status"])
        final = status["state"] in _FINAL
        return {**update, "status": status, "kind": "status-update", "final": final}
    update = answer["artifactUpdate"]
    return {**update, "artifact": _write_artifact(update["artifact"]), "kind": "artifact-update"}


def _write_task(task: Json) -> Json:
    made = {**task, "status": _write_status(task["status"]), "kind": "task"}
    if "artifacts" in task:
        made["artifacts"] = [_write_artifact(each) for each in task["artifacts"]]
    if "history" in task:
        made["history"] = [_write_message(each) for each in task["history"]]
    return made


def _write_status(status: Json) -> Json:
    made = {**status, "state": status["state"].removeprefix("TASK_STATE_").lower().replace("_", "-")}
    if "message" in status:
        made["message"] = _write_message(status["message"])
    return made


def _write_message(message: Json) -> Json:
    role = message["role"].removeprefix("ROLE_").lower()
    return {**message, "role": role, "parts": [_write_part(part) for part in message["parts"]], "kind": "message"}


def _write_artifact(artifact: Json) -> Json:
    return {**artifact, "parts": [_write_part(part) for part in artifact["parts"]]}


def _write_part(part: Json) -> Json:
    if "text" in part:
        return {"kind": "text", "text": part["text"]}
    # 0.3 has objects alone.
    data = part["data"] if isinstance(part["data"], dict) else {"value": part["data"]}
    return {"kind": "data", "data": data}


def _write_config(config: PushConfig) -> Json:
    made: Json = {"url": config.url, "id": config.id}
    if config.token:
        made["token"] = config.token
    if config.authentication is not None:
        given = config.authentication
        made["authentication"] = {"schemes": [given.scheme], "credentials": given.credentials}
    return {"taskId": config.task_id, "pushNotificationConfig": made}
