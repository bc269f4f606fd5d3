"""The OpenAPI 3.1 document, made from the tables of routes. Pure.

https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

import msgspec

from agno_rt_serve.api.routing import WEBSOCKET, Answer, Doc, Route
from agno_rt_serve.errors import Problem

__all__ = ["describe_api"]

Json: TypeAlias = dict[str, Any]

_ABOUT = """Run the agents, teams and workflows of a project, and look after what they store.

A route for agents takes the name of any runnable: an agent, a team or a workflow. A request with a `user` finds this
user's data; a request without one finds data that belongs to nobody. Routes marked as WebSocket in the
reference of the HTTP API are not in this document, which has no form for them.
"""

_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")

_ERRORS: Mapping[int, str] = {
    400: "The request does not fit the route: the message names the field.",
    401: "The key is missing or wrong.",
    403: "The session belongs to another user, the caller may not do this, or a page of another site asks.",
    404: "There is no such thing, or it belongs to somebody else.",
    405: "The path does not take this method.",
    408: "The body did not come in time.",
    409: "The state does not allow this: somebody was faster, or it is over.",
    413: "The body is too large, or the conversation does not fit into the model's context.",
    415: "The body is not of a type that the route takes.",
    421: "The server does not answer to this name.",
    422: "The request was understood, and refused: by a guardrail, a limit, or the state of a key.",
    429: "Too many requests. `Retry-After` has the seconds to wait.",
    500: "The server, or an agent in it, is at fault: its log says more.",
    501: "The server's memory cannot do this.",
    502: "The model's service failed.",
    503: "Too much is under way, or the server is stopping. `Retry-After` has the seconds to wait.",
    504: "The run took too long.",
}
_OF_EVERY_ROUTE = (401, 403, 421, 429, 503)
_OF_BODIES = (400, 408, 413, 415)


def describe_api(routes: Iterable[Route], *, keyed: bool) -> Json:
    """Return the document of the routes with a `doc`. `keyed` says whether the server requires a key."""
    described = [(route, route.doc) for route in routes if route.doc is not None and route.method != WEBSOCKET]
    kinds = list(_list_types(doc for _, doc in described))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    # By identity: a union of types, which has no hash, is one of the kinds too.
    of_kind = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    problem = {"$ref": "#/components/schemas/Problem"}
    paths: dict[str, Json] = {}
    used = set()
    for route, doc in described:
        if doc.query is not None:
            used.add(_name_component(of_kind[id(doc.query)]))
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _describe_route(route, doc, of_kind, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "agno-rt serve", "version": version("agno-rt-serve"), "description": _ABOUT},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: each for name, each in sorted(components.items()) if name not in used},
            "responses": {
                str(status): {"description": about, "content": _describe_error(Problem, problem)}
                for status, about in _ERRORS.items()
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if keyed else [{}, {"key": []}],
        "tags": [{"name": name} for name in sorted({_name_tag(route, doc) for route, doc in described})],
    }


def _list_types(docs: Iterable[Doc]) -> Iterator[Any]:
    for doc in docs:
        found = [doc.error, doc.body, doc.query, *(answer.type for answer in doc.answers)]
        yield from (each for each in found if each is not None)


def _describe_route(route: Route, doc: Doc, schemas: Mapping[int, Json], components: Mapping[str, Json]) -> Json:
    made: Json = {"operationId": doc.id, "summary": doc.summary, "tags": [_name_tag(route, doc)]}
    if doc.about:
        made["description"] = doc.about
    names = list(_PARAMETER.findall(route.path))
    text = {"type": "string"}
    parameters = [{"name": name, "in": "path", "required": True, "schema": text | {"minLength": 1}} for name in names]
    if doc.query is not None:
        parameters += _describe_query(components[_name_component(schemas[id(doc.query)])])
    parameters += [
        {"name": name, "in": "header", "schema": text, "description": about} for name, about in doc.headers.items()
    ]
    if parameters:
        made["parameters"] = parameters
    content: Json = {media: {} for media in doc.uploads}
    if doc.body is not None:
        content["application/json"] = {"schema": schemas[id(doc.body)]}
    if content:
        made["requestBody"] = {"content": content, "required": not _is_optional(doc.body)}
    made["responses"] = _describe_answers(doc, names, schemas)
    if doc.is_open:
        made["security"] = []
    return made


def _describe_query(struct: Json) -> list[Json]:
    required = struct.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in struct["properties"].items()
    ]


def _without_null(schema: Json) -> Json:
    """Return the schema of a parameter of a query: there a missing parameter, not a null, stands for `None`."""
    kept = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    kinds = kept.pop("anyOf", None)
    if kinds is not None:
        others = [each for each in kinds if each != {"type": "null"}]
        kept |= others[0] if len(others) == 1 else {"anyOf": others}
    if None in kept.get("enum", ()):
        kept["enum"] = [each for each in kept["enum"] if each is not None]
    return kept


def _describe_answers(doc: Doc, names: list[str], schemas: Mapping[int, Json]) -> Json:
    made: Json = {}
    for answer in doc.answers:
        told = made.setdefault(str(answer.status), {"description": answer.about or "Done."})
        if answer.media:
            told.setdefault("content", {})[answer.media] = _describe_content(answer, schemas)
    errors = {*_OF_EVERY_ROUTE, *doc.errors}
    errors |= {400} if doc.query is not None else set()
    errors |= {*_OF_BODIES} if doc.body is not None or doc.uploads else set()
    errors |= {404} if names else set()
    for status in sorted(errors):
        if doc.error is Problem and str(status) not in made:
            made[str(status)] = {"$ref": f"#/components/responses/{status}"}
            continue
        told = made.setdefault(str(status), {"description": _ERRORS[status]})
        told.setdefault("content", {}).update(_describe_error(doc.error, schemas[id(doc.error)]))
    return dict(sorted(made.items()))


def _describe_error(kind: Any, schema: Json) -> Json:
    return {"application/problem+json" if kind is Problem else "application/json": {"schema": schema}}


def _describe_content(answer: Answer, schemas: Mapping[int, Json]) -> Json:
    if answer.type is None:
        # A schema of a stream is one of each event, to those who read the document.
        is_text = answer.media.startswith("text/") and answer.media != "text/event-stream"
        return {"schema": {"type": "string"}} if is_text else {}
    return {"schema": schemas[id(answer.type)]}


def _name_component(schema: Json) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name


def _is_optional(body: Any) -> bool:
    """Return whether the body may be left out: none of its fields is required."""
    if not (isinstance(body, type) and issubclass(body, msgspec.Struct)):
        return False
    return not any(field.required for field in msgspec.structs.fields(body))


def _name_tag(route: Route, doc: Doc) -> str:
    return doc.tag or route.path.split("/")[1]
