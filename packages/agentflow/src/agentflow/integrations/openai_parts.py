"""Content blocks as the parts of a chat message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from agentflow.core.state.blocks import (
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    MediaRef,
    TextBlock,
    VideoBlock,
)

Part = dict[str, Any]

# What the protocol calls the formats of sounds, where that is not the end of their MIME type.
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def parts_of(blocks: Sequence[ContentBlock]) -> str | list[Part]:
    """A user's blocks: plain text when there is nothing else.

    What the protocol cannot carry, such as a film, becomes a note in text that names it.
    """
    parts = [part for part in map(_part, blocks) if part is not None]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def text_of(blocks: Sequence[ContentBlock]) -> str:
    """The text in blocks of a speaker whose messages hold only text."""
    said = (
        block.text if isinstance(block, TextBlock) else block.message
        for block in blocks
        if isinstance(block, TextBlock | ErrorBlock)
    )
    return "\n".join(said)


def _part(block: ContentBlock) -> Part | None:
    """A block as a part; None for blocks that are no content: calls, results, reasoning, annotations."""
    if isinstance(block, TextBlock):
        return _text(block.text)
    if isinstance(block, ErrorBlock):
        return _text(block.message)
    if isinstance(block, ImageBlock):
        return _image(block.media)
    if isinstance(block, AudioBlock):
        return _audio(block.media, block.transcript)
    if isinstance(block, DocumentBlock):
        text = block.text or block.excerpt
        return _text(text) if text else _file(block.media, "document")
    if isinstance(block, DataBlock):
        return _data(block)
    if isinstance(block, VideoBlock):
        return _note("video", block.media)
    return None


def _data(block: DataBlock) -> Part:
    media = block.media or MediaRef(kind="data", data_base64=block.data_base64)
    media = media.model_copy(update={"mime_type": media.mime_type or block.mime_type})
    kind = block.mime_type.split("/", 1)[0]
    if kind == "image":
        return _image(media)
    if kind == "audio":
        return _audio(media, None)
    text = _decoded(media) if kind == "text" or block.mime_type == "application/json" else None
    return _text(text) if text is not None else _file(media, "data")


def _image(media: MediaRef) -> Part:
    if media.data_base64:
        return {"type": "image_url", "image_url": {"url": _data_url(media, "image/png")}}
    if media.url:
        return {"type": "image_url", "image_url": {"url": media.url}}
    return _file(media, "image")


def _audio(media: MediaRef, transcript: str | None) -> Part:
    if media.data_base64:
        ending = (media.mime_type or "audio/wav").split(";", 1)[0].rsplit("/", 1)[-1]
        kind = _AUDIO_FORMATS.get(ending, ending)
        return {"type": "input_audio", "input_audio": {"data": media.data_base64, "format": kind}}
    return _text(transcript) if transcript else _note("audio", media)


def _file(media: MediaRef, what: str) -> Part:
    if media.data_base64:
        data = _data_url(media, "application/octet-stream")
        return {"type": "file", "file": {"filename": media.filename or what, "file_data": data}}
    if media.file_id:
        return {"type": "file", "file": {"file_id": media.file_id}}
    return _note(what, media)  # the protocol takes no address here


def _note(what: str, media: MediaRef) -> Part:
    return _text(f"[{what}: {media.url or media.filename or media.file_id or 'not shown'}]")


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _data_url(media: MediaRef, default_type: str) -> str:
    return f"data:{media.mime_type or default_type};base64,{media.data_base64}"


def _decoded(media: MediaRef) -> str | None:
    try:
        return base64.b64decode(media.data_base64 or "", validate=True).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None
