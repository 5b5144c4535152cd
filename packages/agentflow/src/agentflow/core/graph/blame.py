"""Whose fault it is that something cannot be stored: the caller's, or a node's."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from agentflow.errors import InvalidIdError, NodeEncodingError, NodeError, StateEncodingError
from agentflow.storage.checkpointer.types import Source

UNSTORABLE: Final = (StateEncodingError, InvalidIdError)
_OF_NODES: Final[tuple[Source, ...]] = ("node", "branch")


class Blamed:
    """What cannot be stored in the block is an error of the node, unless it came from elsewhere."""

    __slots__ = ("_node", "_source")

    def __init__(self, source: Source, node: str) -> None:
        """A class and no generator: each commit enters two.

        Args:
            source: Where what is stored comes from.
            node: Whose output it is.
        """
        self._source = source
        self._node = node

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave.

        Raises:
            NodeEncodingError: It is a node's.
        """
        if isinstance(error, UNSTORABLE) and not isinstance(error, NodeError) and self._source in _OF_NODES:
            raise NodeEncodingError(error, node=self._node) from error
