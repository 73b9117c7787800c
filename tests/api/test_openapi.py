"""The description of the API: complete, consistent, and the one that requests are held against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from credd import wire
from credd.api.openapi import describe
from credd.api.routes import ROUTES
from credd.api.schema import PLACE

DOCUMENT = describe()
METHODS = {"get", "post", "delete", "put", "patch", "head", "options", "trace"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield path, method, operation


def test_it_is_openapi_31_in_plain_json() -> None:
    """What the specification demands of a document (OpenAPI 3.1.0, 4.8.1) is there."""
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert DOCUMENT["openapi"] == "3.1.0"
    assert set(DOCUMENT["info"]) >= {"title", "version"}
    assert DOCUMENT["paths"]
    assert all(path.startswith("/v1/") for path in DOCUMENT["paths"])


def test_each_route_is_an_operation_of_its_own() -> None:
    """One operation a row, with a unique name and a sentence."""
    found = list(operations())
    assert {(path, method.upper()) for path, method, _ in found} == {
        (route.path, route.method) for route in ROUTES
    }
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, _, operation in found)


def test_every_place_in_a_path_is_declared() -> None:
    """Path parameters, and no others, with the pattern that is enforced."""
    for path, _, operation in operations():
        declared = {
            parameter["name"]: parameter
            for parameter in operation["parameters"]
            if parameter["in"] == "path"
        }
        assert set(declared) == set(re.findall(r"\{(\w+)\}", path))
        for parameter in declared.values():
            assert parameter["required"]
            assert re.fullmatch(parameter["schema"]["pattern"], "lab-1")
            assert not re.fullmatch(parameter["schema"]["pattern"], "a/b")


def test_every_operation_describes_success_and_problem() -> None:
    """One success, and the problem that everything else is."""
    for path, method, operation in operations():
        responses = operation["responses"]
        assert len(responses) == 2, (path, method)
        assert set(responses["default"]["content"]) == {wire.PROBLEM_MEDIA_TYPE}
        assert all(response["description"] for response in responses.values())


def test_every_reference_leads_somewhere() -> None:
    """No schema is named that isn't there, and none is there that nobody names."""
    used = {node["$ref"].removeprefix(PLACE) for node in nodes(DOCUMENT) if "$ref" in node}
    assert used == set(DOCUMENT["components"]["schemas"])
    kinds = {node["type"] for node in nodes(DOCUMENT) if isinstance(node.get("type"), str)}
    assert kinds <= {"object", "array", "string", "integer", "number", "boolean", "null", "type"}


def test_requests_are_closed_and_replies_open() -> None:
    """`/v1` grows in its answers: a client ignores what it does not know, the daemon refuses it."""
    schemas = DOCUMENT["components"]["schemas"]
    requests = {route.request.__name__ for route in ROUTES if route.request}
    for name, schema in schemas.items():
        assert schema["additionalProperties"] is (name not in requests), name
    assert schemas["LoginRequest"]["required"] == []
    assert schemas["Problem"]["required"] == [
        "type", "title", "status", "code", "detail", "remedy", "retryable",
    ]  # fmt: skip


def test_the_secret_is_marked() -> None:
    """Whoever writes a proxy or a log filter can see which answer bears one."""
    marked = [path for path, _, operation in operations() if "x-credd-bears-secret" in operation]
    assert marked == [wire.TOKEN]
