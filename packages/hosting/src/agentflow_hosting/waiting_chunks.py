"""Chunks that wait to be kept: no more of them than there is to read."""

from __future__ import annotations

from collections import deque
from typing import Final

from agentflow.core.graph import StreamChunk
from agentflow.core.state import Message, TextBlock
from agentflow_hosting.chunk_text import chunk_text, numbered
from agentflow_tenancy import Principal

_MOST_AT_ONCE: Final = 200
_MOST_BYTES_AT_ONCE: Final = 1024 * 1024
_MOST_JOINED: Final = 16 * 1024


class WaitingChunks:
    """In order, numbered when they are taken.

    Pieces of a message that wait one behind the other become one: whoever writes slower than a model speaks
    keeps fewer and longer pieces, and what waits is the text alone, not an envelope for each word.
    """

    def __init__(self, principal: Principal, seq: int) -> None:
        """Nothing waits.

        Args:
            principal: Who reads them.
            seq: Of the first one that is taken.
        """
        self._principal = principal
        self._seq = seq
        self._bodies: deque[str] = deque()
        self._piece: StreamChunk | None = None
        self._texts: list[str] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._bodies) or self._piece is not None

    def __len__(self) -> int:
        return len(self._bodies) + (self._piece is not None)

    def put(self, chunk: StreamChunk) -> None:
        """Add a chunk, or join it to the one before."""
        text = _piece_of(chunk)
        if text is not None and self._goes_on(chunk) and self._size + len(text) <= _MOST_JOINED:
            self._texts.append(text)
            self._size += len(text)
            return
        self._close()
        if text is None:
            self._bodies.append(chunk_text(chunk, self._principal))
        else:
            self._piece, self._texts, self._size = chunk, [text], len(text)

    def put_text(self, body: str) -> None:
        """Add a chunk as JSON text without its number."""
        self._close()
        self._bodies.append(body)

    def take(self) -> list[str]:
        """The next ones, numbered: as many as go together, one at least where any waits."""
        if len(self._bodies) < _MOST_AT_ONCE:
            self._close()
        taken: list[str] = []
        size = 0
        while self._bodies and len(taken) < _MOST_AT_ONCE:
            size += len(self._bodies[0])
            if taken and size > _MOST_BYTES_AT_ONCE:
                break
            taken.append(numbered(self._bodies.popleft(), self._seq))
            self._seq += 1
        return taken

    def _goes_on(self, chunk: StreamChunk) -> bool:
        before = self._piece
        if before is None or before.message is None or chunk.message is None:
            return False
        return before.message.message_id == chunk.message.message_id and before.metadata == chunk.metadata

    def _close(self) -> None:
        """The piece that grew so far is one of those that wait."""
        if self._piece is None:
            return
        piece = self._piece
        if len(self._texts) > 1 and piece.message is not None:
            whole = [TextBlock(text="".join(self._texts))]
            piece = piece.model_copy(update={"message": piece.message.model_copy(update={"content": whole})})
        self._piece, self._texts, self._size = None, [], 0
        self._bodies.append(chunk_text(piece, self._principal))


def _piece_of(chunk: StreamChunk) -> str | None:
    """The text of a chunk that is a piece of a message's text, and nothing else."""
    message = chunk.message
    if message is None or not message.delta or len(message.content) != 1:
        return None
    block = message.content[0]
    if not isinstance(block, TextBlock) or block.annotations or _says_more(message):
        return None
    return block.text


def _says_more(message: Message) -> bool:
    return bool(message.tools_calls or message.reasoning or message.metadata or message.raw)
