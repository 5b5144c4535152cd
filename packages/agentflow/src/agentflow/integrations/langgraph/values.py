"""LangGraph's values as data: `[kind, base64]`, made and read by the saver's serializer."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Final

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentflow.errors import AgentFlowError, ConfigurationError, CorruptStateError
from agentflow.storage.checkpointer.delta import Json, same
from agentflow.utils.jsontext import unencodable

# Kinds that name a constructor in what is stored. The serializer never writes the first and must not write
# the second: whoever can write to the tables shall not choose what a reader calls.
_REFUSED: Final = frozenset({"json", "pickle"})


def strict_serde(allowed_types: Iterable[type | tuple[str, str]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer that builds plain data, LangGraph's and LangChain's own types, and these."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(allowed_types) or None)


def refuse_pickle(serde: Any) -> None:
    """Refuse a serializer that would store programs.

    Raises:
        ConfigurationError: It falls back to pickle.
    """
    inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
    if getattr(inner, "pickle_fallback", False):
        raise ConfigurationError(
            "A serializer with pickle_fallback=True runs whatever is stored. Leave it off, and name your own "
            "types: AgentFlowSaver(..., allowed_types=[MyType])."
        )


class Values:
    """Encodes and decodes with one serializer."""

    def __init__(self, serde: SerializerProtocol) -> None:
        """Nothing is encoded yet."""
        self._serde = serde

    def dump(self, value: Any, *, field: str) -> Json:
        """`value` as `[kind, base64]`.

        Raises:
            StateEncodingError: The serializer has no way to store it as data.
        """
        kind, data = self.dump_bytes(value, field=field)
        return [kind, base64.b64encode(data).decode("ascii")]

    def load(self, stored: Json) -> Any:
        """The value of what `dump` made.

        Raises:
            CorruptStateError: It is something else.
        """
        try:
            kind, text = stored
            if not isinstance(kind, str):
                raise TypeError(kind)
            data = base64.b64decode(text, validate=True)
        except (ValueError, TypeError, binascii.Error) as error:
            raise _corrupt(error) from error
        return self.load_bytes(kind, data)

    def dump_bytes(self, value: Any, *, field: str) -> tuple[str, bytes]:
        """`value` as kind and bytes; raises as `dump`."""
        try:
            kind, data = self._serde.dumps_typed(value)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise unencodable(field, error) from error
        return kind, bytes(data)

    def load_bytes(self, kind: str, data: bytes) -> Any:
        """The value of what `dump_bytes` made; raises as `load`."""
        if kind.partition("+")[0] in _REFUSED:
            raise CorruptStateError(
                f"A stored value of kind {kind!r} is refused: nothing stored is executed."
            )
        try:
            return self._serde.loads_typed((kind, data))
        except AgentFlowError:
            raise
        except Exception as error:  # whatever a serializer says of bytes it did not write
            raise _corrupt(error) from error


def is_data(value: Any) -> bool:
    """Whether JSON gives this value back exactly."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
        return same(json.loads(text), value)
    except (TypeError, ValueError, RecursionError):
        return False


def _corrupt(error: Exception) -> CorruptStateError:
    return CorruptStateError(f"A stored value cannot be read ({type(error).__name__}); none of it was used.")
