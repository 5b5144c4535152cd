"""JSON schemas with an example each, so that what is made of them has an example too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

_REF: Final = "#/components/schemas/"


class ClashError(ValueError):
    """Two schemas have the same name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A form of data.

    Attributes:
        schema: Its JSON schema.
        example: Data of that form.
        parts: The schemas that it refers to, by name.
    """

    schema: Mapping[str, Any]
    example: Any
    parts: Mapping[str, Any] = field(default_factory=dict)

    def but(self, example: Any) -> "Shape":
        """The same form, with another example."""
        return Shape(self.schema, example, self.parts)


def text(example: str, **more: Any) -> Shape:
    """Text; `more` are further words of JSON schema."""
    return Shape({"type": "string", **more}, example)


def whole(example: int, least: int | None = 0, **more: Any) -> Shape:
    """A whole number."""
    bound = {} if least is None else {"minimum": least}
    return Shape({"type": "integer", **bound, **more}, example)


def one_of(*words: str) -> Shape:
    """One of some words; the first is the example."""
    return Shape({"type": "string", "enum": list(words)}, words[0])


def maybe(shape: Shape, example: Any = ...) -> Shape:
    """This or null."""
    schema = {"anyOf": [shape.schema, {"type": "null"}]}
    return Shape(schema, shape.example if example is ... else example, shape.parts)


def either(*shapes: Shape) -> Shape:
    """One of these forms; the first has the example."""
    return Shape({"anyOf": [shape.schema for shape in shapes]}, shapes[0].example, merged(shapes))


def listed(shape: Shape) -> Shape:
    """A list of such."""
    return Shape({"type": "array", "items": shape.schema}, [shape.example], shape.parts)


def record(name: str, fields: Mapping[str, Shape], *optional: str) -> Shape:
    """An object that has a name in the document; all but the `optional` fields are always there."""
    schema = {
        "type": "object",
        "properties": {key: shape.schema for key, shape in fields.items()},
        "required": [key for key in fields if key not in optional],
    }
    example = {key: shape.example for key, shape in fields.items()}
    return Shape({"$ref": _REF + name}, example, merged(fields.values()) | {name: schema})


def plain(fields: Mapping[str, Shape], *optional: str) -> Shape:
    """The same without a name."""
    named = record("_", fields, *optional)
    parts = dict(named.parts)
    return Shape(parts.pop("_"), named.example, parts)


def of_model(model: type[BaseModel], example: Any, *, mode: JsonSchemaMode = "validation") -> Shape:
    """What a model takes; or what it gives, in the mode `serialization`."""
    # A part that is taken has other required fields than the same part when it is given.
    tail = "Input" if mode == "validation" else ""
    schema = model.model_json_schema(mode=mode, ref_template=f"{_REF}{{model}}{tail}")
    # Generators name their classes by the title: no two parts have the same.
    parts = {
        name + tail: {**_told_apart(part), "title": name + tail}
        for name, part in schema.pop("$defs", {}).items()
    }
    return Shape({"$ref": _REF + model.__name__}, example, parts | {model.__name__: schema})


def _told_apart(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a union, in which the word that says which one it is must be there."""
    words = [name for name, field in part.get("properties", {}).items() if "const" in field]
    required = sorted({*words, *part.get("required", ())})
    return {**part, "required": required} if required else dict(part)


def merged(shapes: Any) -> dict[str, Any]:
    """The parts of all shapes.

    Raises:
        ClashError: Two that differ have one name.
    """
    parts: dict[str, Any] = {}
    for shape in shapes:
        for name, part in shape.parts.items():
            if parts.setdefault(name, part) != part:
                raise ClashError(f"two schemas are called {name}")
    return parts


TIME: Final = text("2026-03-01T12:00:00+00:00", format="date-time")
ID: Final = text("0198f3c2-7a51-7c3e-9d43-1f0e5a6b7c8d", format="uuid")
YES: Final = Shape({"type": "boolean"}, True)
NO: Final = Shape({"type": "boolean"}, False)
NUMBER: Final = Shape({"type": "number"}, 1.0)
ANYTHING: Final = Shape({}, None)
DATA: Final = Shape({"type": "object", "additionalProperties": True}, {"topic": "billing"})
CURSOR: Final = maybe(text("MDE5OGYzYzI"), None)


def page(name: str, shape: Shape) -> Shape:
    """A page of a listing, with the cursor of the next one."""
    return plain({name: listed(shape), "next_cursor": CURSOR})


def done(data: Mapping[str, Shape] | None = None) -> Shape:
    """`{"success", "message"}` and, if anything, `data`."""
    said = {"success": YES, "message": text("Done.")}
    return plain(said if data is None else {**said, "data": plain(data)})
