"""How many tokens a message takes: an estimate, any tokenizer, or what the model itself reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any, Final

from pydantic_core import to_json

from agentflow.core.state.blocks import (
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    VideoBlock,
)
from agentflow.core.state.message import Message

type TokenCounter = Callable[[Message], int]

# What tokenizers make of about four bytes of UTF-8: four letters of English, two Cyrillic ones, a Chinese
# one and a bit.
_BYTES_A_TOKEN: Final = 4
# Role and separators.
_TOKENS_A_MESSAGE: Final = 4
# A picture of a usual size; sounds and files cost anything, this at least.
_TOKENS_A_MEDIUM: Final = 1000


def estimate_tokens(message: Message) -> int:
    """About as many as a tokenizer would count: a quarter of the bytes, a round figure a picture or file.

    Counts what an `Agent` sends of it. Microseconds; needs nothing installed.
    """
    size_bytes = sum(len(text.encode(errors="replace")) for text in _texts(message))
    return _TOKENS_A_MESSAGE + -(-size_bytes // _BYTES_A_TOKEN) + _media_tokens(message)


def tokens_by(encode: Callable[[str], Sized]) -> TokenCounter:
    """A counter over a tokenizer's own function.

    Args:
        encode: Text to tokens, such as `tiktoken.encoding_for_model("gpt-4o").encode` or, of the
            `tokenizers` package, `lambda text: tokenizer.encode(text).ids`.
    """

    def count(message: Message) -> int:
        texts = sum(len(encode(text)) for text in _texts(message))
        return _TOKENS_A_MESSAGE + texts + _media_tokens(message)

    return count


def reported_tokens(otherwise: TokenCounter = estimate_tokens) -> TokenCounter:
    """A counter that believes the provider: an answer's `usages.completion_tokens`, where there is one.

    Without the tokens of the model's reasoning, which are not sent again.

    Args:
        otherwise: Counts the messages that no model reported on.
    """

    def count(message: Message) -> int:
        usages = message.usages
        if usages is None or usages.completion_tokens <= 0:
            return otherwise(message)
        return _TOKENS_A_MESSAGE + max(0, usages.completion_tokens - usages.reasoning_tokens)

    return count


def _texts(message: Message) -> Iterator[str]:
    for block in message.content:
        yield from _texts_of(block)


def _texts_of(block: ContentBlock) -> Iterator[str]:
    if isinstance(block, TextBlock):
        yield block.text
    elif isinstance(block, ToolCallBlock | RemoteToolCallBlock):
        yield block.name
        yield _json(block.args)
    elif isinstance(block, ToolResultBlock):
        yield block.output if isinstance(block.output, str) else _json(block.output)
    elif isinstance(block, ErrorBlock):
        yield block.message
    elif isinstance(block, DocumentBlock):
        yield block.text or block.excerpt or ""
    elif isinstance(block, AudioBlock):
        yield block.transcript or ""


def _media_tokens(message: Message) -> int:
    return _TOKENS_A_MEDIUM * sum(map(_is_medium, message.content))


def _is_medium(block: ContentBlock) -> bool:
    if isinstance(block, DocumentBlock):
        return not (block.text or block.excerpt)
    if isinstance(block, AudioBlock):
        return not block.transcript
    return isinstance(block, ImageBlock | VideoBlock | DataBlock)


def _json(value: Any) -> str:
    return to_json(value, fallback=str, inf_nan_mode="constants").decode()
