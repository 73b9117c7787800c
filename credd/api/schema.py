"""Shapes as JSON Schema, and values held against them.

Knows: the few kinds of field that `credd.wire` uses. Refuses to know: routes. The hard thing is
that what is documented and what is checked must be one thing, so a request is held against the very
schema that the OpenAPI document shows.
"""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

Schema = dict[str, Any]

PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}

PLACE = "#/components/schemas/"


class Schemas:
    """Turns shapes into schemas, and collects those that have a name."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}

    def of(self, shape: Any, *, is_closed: bool = False) -> Schema:
        """The schema of a shape; a TypedDict becomes a reference to one of `named`.

        `is_closed`: unknown fields are refused, as in requests. Replies stay open, since `/v1`
        grows. Raises TypeError for a kind of field that nobody needed so far.
        """
        if is_typeddict(shape):
            return self._reference(shape, is_closed)
        if shape in PLAIN:
            return dict(PLAIN[shape])
        origin, inner = get_origin(shape), get_args(shape)
        if origin is list:
            return {"type": "array", "items": self.of(inner[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(one) for one in inner]}
        raise TypeError(f"no schema for {shape!r}")

    def _reference(self, shape: Any, is_closed: bool) -> Schema:
        name = shape.__name__
        if name not in self.named:
            fields = get_type_hints(shape)
            self.named[name] = {
                "type": "object",
                "description": (shape.__doc__ or "").strip(),
                "properties": {field: self.of(kind) for field, kind in fields.items()},
                "required": [field for field in fields if field in shape.__required_keys__],
                "additionalProperties": not is_closed,
            }
        return {"$ref": PLACE + name}

    def find_fault(self, value: Any, schema: Schema, place: str = "the body") -> str | None:
        """What is wrong with a value, as a sentence that repeats nothing of it; None if nothing."""
        if "$ref" in schema:
            schema = self.named[schema["$ref"].removeprefix(PLACE)]
        if "anyOf" in schema:
            faults = [self.find_fault(value, one, place) for one in schema["anyOf"]]
            return None if None in faults else f"{place} is of the wrong kind"
        if "type" in schema and not _is(value, schema["type"]):
            return f"{place} must be {_article(schema['type'])}"
        if schema.get("type") == "array":
            faults = [self.find_fault(one, schema["items"], place) for one in value]
            return next((fault for fault in faults if fault), None)
        if schema.get("type") == "object":
            return self._find_fault_inside(value, schema, place)
        return None

    def _find_fault_inside(self, value: dict[str, Any], schema: Schema, place: str) -> str | None:
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for field in schema.get("required", []):
            if field not in value:
                return f"{place} lacks {field!r}"
        for field, inner in value.items():
            if field in known:
                fault = self.find_fault(inner, known[field], repr(field))
            elif others is False:
                fault = f"{place} has an unknown field; known: {', '.join(known) or 'none'}"
            else:
                fault = self.find_fault(inner, {} if others is True else others, place)
            if fault:
                return fault
        return None


def _is(value: Any, kind: str) -> bool:
    """Whether a JSON value is of this kind. Python's True is an int, JSON's is not."""
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    kinds: dict[str, type] = {
        "string": str, "boolean": bool, "null": type(None), "array": list, "object": dict,
    }  # fmt: skip
    return isinstance(value, kinds[kind])


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
