"""Whose fault it is that something cannot be stored: the caller's, or a node's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agentflow.errors import InvalidIdError, NodeEncodingError, NodeError, StateEncodingError
from agentflow.storage.checkpointer.types import Source

UNSTORABLE: Final = (StateEncodingError, InvalidIdError)
_OF_NODES: Final[tuple[Source, ...]] = ("node", "branch")


@contextmanager
def blamed(source: Source, node: str) -> Iterator[None]:
    """What cannot be stored in the block is an error of the node, unless it came from elsewhere.

    Args:
        source: Where what is stored comes from.
        node: Whose output it is.

    Raises:
        NodeEncodingError: It is a node's.
    """
    try:
        yield
    except UNSTORABLE as error:
        if isinstance(error, NodeError) or source not in _OF_NODES:
            raise
        raise NodeEncodingError(error, node=node) from error
