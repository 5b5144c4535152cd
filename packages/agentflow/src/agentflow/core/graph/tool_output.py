"""What a tool returned, as data that can be stored and shown to a model."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentflow.core.state.blocks import TextBlock, Value
from agentflow.core.state.message import Message
from agentflow.errors import StateEncodingError
from agentflow.utils.command import Command
from agentflow.utils.jsontext import json_text


def output_data(output: Any) -> Any:
    """A tool's output as JSON data: text, data, pydantic models, dataclasses, a message, content blocks.

    A message or blocks of nothing but text become that text.

    Raises:
        TypeError: It is no data; the text says so to the model.
    """
    if isinstance(output, Command):
        raise TypeError("a tool cannot return a Command: return data, and let a node change the state")
    if isinstance(output, Message):
        output = output.content
    if isinstance(output, Value):
        output = [output]
    if isinstance(output, list) and output and all(isinstance(block, TextBlock) for block in output):
        output = "\n".join(block.text for block in output)
    try:
        data = to_jsonable_python(output, inf_nan_mode="constants")
        json_text(data, field="output")
    except (PydanticSerializationError, StateEncodingError, ValueError, TypeError) as error:
        raise TypeError(f"the tool's output is no JSON data ({type(output).__name__})") from error
    return data


def storable(text: str) -> str:
    """The text with a `?` for each half of a surrogate pair, which cannot be stored."""
    return text.encode(errors="replace").decode()
