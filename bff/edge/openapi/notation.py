"""The few constructs of OpenAPI 3.1 that every part of the document is written with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

Json: TypeAlias = dict[str, object]
"""A JSON object under construction; made afresh by each function that returns one."""

Section: TypeAlias = Literal["schemas", "responses", "parameters", "headers", "examples"]


def ref(section: Section, name: str) -> Json:
    """A Reference Object to a component of this document."""
    return {"$ref": f"#/components/{section}/{name}"}


def refs(section: Section, names: Iterable[str]) -> Json:
    """Components of one section under their own names."""
    return {name: ref(section, name) for name in names}


def media(media_type: str, schema: Mapping[str, object], examples: Iterable[str] = ()) -> Json:
    """A content map with one media type; `examples` names components."""
    described: Json = {"schema": dict(schema)}
    if named := refs("examples", examples):
        described["examples"] = named
    return {media_type: described}


def record(properties: Mapping[str, object], description: str) -> Json:
    """The schema of an object whose members may all be absent, and that may have others."""
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "additionalProperties": True,
    }


def listing(items: Mapping[str, object], description: str) -> Json:
    """The schema of a list."""
    return {"type": "array", "description": description, "items": dict(items)}


def text(description: str = "", *, nullable: bool = False) -> Json:
    """The schema of a string."""
    return _scalar("string", description, nullable=nullable)


def flag(description: str = "", *, nullable: bool = False) -> Json:
    """The schema of a boolean."""
    return _scalar("boolean", description, nullable=nullable)


def whole(description: str = "", *, nullable: bool = False) -> Json:
    """The schema of a 64-bit integer."""
    return {**_scalar("integer", description, nullable=nullable), "format": "int64"}


def _scalar(kind: str, description: str, *, nullable: bool) -> Json:
    schema: Json = {"type": [kind, "null"] if nullable else kind}
    if description:
        schema["description"] = description
    return schema


def exactly(properties: Mapping[str, object], optional: Mapping[str, object] | None = None) -> Json:
    """The schema of an object that has all of these members, and may have the `optional` ones."""
    members = {**properties, **(optional or {})}
    return {"type": "object", "properties": members, "required": list(properties)}
