"""The description of the API (OpenAPI 3.1), generated from the table of routes.

Knows: how a row becomes an operation. Refuses to know: anything that the table does not say; what
is missing here is missing there.
"""

from __future__ import annotations

import re
from typing import Any

from credd import __version__, wire
from credd.api.asking import Parameter
from credd.api.problems import Problem
from credd.api.routes import ROUTES, Route
from credd.api.schema import Schema, Schemas


def describe(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """The whole document."""
    schemas = Schemas()
    problem = schemas.of(Problem)
    paths: dict[str, Any] = {}
    for route in routes:
        operation = _operation(route, schemas)
        operation["responses"]["default"] = _content("A problem", wire.PROBLEM_MEDIA_TYPE, problem)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "credd",
            "version": __version__,
            "description": "HTTP/1.1 over a Unix socket. Times are Unix seconds.",
        },
        "servers": [{"url": "http://localhost", "description": "curl --unix-socket $CREDD_SOCK"}],
        "paths": paths,
        "components": {"schemas": schemas.named},
    }


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": [*_path_parameters(route.path), *map(_parameter, route.query)],
        "responses": {str(route.status if route.reply else 204): _reply(route, schemas)},
    }
    if route.request is not None:
        schema = schemas.of(route.request, is_closed=True)
        operation["requestBody"] = {"required": True, "content": _media("application/json", schema)}
    if route.bears_secret:
        operation["x-credd-bears-secret"] = True
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    patterns = {"name": f"^{wire.NAME_PATTERN}$", "id": "^[A-Za-z0-9_-]{1,128}$"}
    return [
        {
            "name": place,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": patterns[place]},
        }
        for place in re.findall(r"\{(\w+)\}", path)
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.what,
        "required": parameter.is_required,
        "schema": parameter.schema,
    }


def _reply(route: Route, schemas: Schemas) -> dict[str, Any]:
    if route.reply is None:
        return {"description": "Done"}
    schema: Schema = {"type": "object"} if route.reply is dict else schemas.of(route.reply)
    content: dict[str, Any] = {}
    for kind in route.media:
        content |= _media(kind, {"type": "string"} if kind == "text/plain" else schema)
    return {"description": route.summary, "content": content}


def _content(description: str, kind: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": _media(kind, schema)}


def _media(kind: str, schema: Schema) -> dict[str, Any]:
    return {kind: {"schema": schema}}
