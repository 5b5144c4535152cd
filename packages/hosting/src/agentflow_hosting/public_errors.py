"""What clients are told of an error: never a node's data, nor a name of ours."""

from typing import Final

from agentflow.errors import (
    CheckpointNotFoundError,
    ConfigurationError,
    CorruptStateError,
    GraphDefinitionError,
    NodeEncodingError,
    NodeError,
    NodeTimeoutError,
    NotFoundError,
    StorageError,
    StoreUnavailableError,
)

INTERNAL: Final = (
    "Something went wrong here. It was logged; try again, and report the request id if it stays."
)

# Errors whose own text is for whoever runs the service: it may quote a node's data or name our servers.
_PUBLIC_TEXTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (StoreUnavailableError, "The store did not answer in time; try again."),
    (CorruptStateError, "What is stored here is not what was written; none of it was used."),
    (StorageError, INTERNAL),
    (ConfigurationError, INTERNAL),
    (GraphDefinitionError, INTERNAL),
    (CheckpointNotFoundError, "The thread has no such checkpoint."),
    (NotFoundError, "There is no such thread."),  # the same for somebody else's
)


def public_text(error: Exception, hidden_prefix: str | None) -> str:
    """What a client is told of an error that is meant for clients.

    Args:
        error: One of this product's.
        hidden_prefix: What stored thread ids begin with, for a known tenant.
    """
    for kind, text in _PUBLIC_TEXTS:
        if isinstance(error, kind):
            return text
    if isinstance(error, NodeEncodingError):
        return f"Node {error.node!r} made what cannot be stored, in {error.field!r}; none of it was kept."
    if isinstance(error, NodeError) and not isinstance(error, NodeTimeoutError):
        return f"Node {error.node!r} failed ({type(error.__cause__ or error).__name__})."
    return str(error).replace(hidden_prefix, "") if hidden_prefix else str(error)
