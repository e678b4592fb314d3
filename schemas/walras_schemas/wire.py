"""What all messages share on the wire: JSON objects of known fields that name their type.

A field left out is None in Python and never `null` in a command. What pydantic's JSON Schema does
not say by itself is added here, so that a reader of the schema alone refuses all that it can.
"""

from typing import Annotated, Any, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from walras_schemas.names import Version

T = TypeVar("T")


class _Absent:
    """Lets a field be left out but not be null: None is known to the types, not to the wire."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        present, _none = get_args(source)
        return handler(present)


OrAbsent = Annotated[T | None, _Absent()]


class ByName:
    """States in JSON Schema what every key and every value of a dict must be.

    Pydantic writes the pattern of a key as `patternProperties`, which lets all other keys through.
    """

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        keyed = cast("dict[str, CoreSchema]", schema)
        stated = handler(schema)
        stated.pop("patternProperties", None)
        return stated | {
            "propertyNames": handler(keyed["keys_schema"]),
            "additionalProperties": handler(keyed["values_schema"]),
        }


def state_wire(schema: dict[str, Any]) -> None:
    """State in a message's JSON Schema what holds on the wire alone: its type, and no nulls."""
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]
    del schema["properties"]["type"]["default"]
    schema["required"] = ["type", *schema["required"]]


class WireObject(BaseModel):
    """A JSON object with known fields only, each of exactly its own JSON type."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Message(WireObject):
    """A JSON object that travels by itself. Its `type` may be left out in Python only."""

    model_config = ConfigDict(json_schema_extra=state_wire)

    version: Version = 1
