"""PostgreSQL and Valkey together."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from agentflow_embedded.postgres import EmbeddedPostgres
from agentflow_embedded.valkey import EmbeddedValkey


class Stack:
    """Both servers on one state folder; started and stopped as one.

    Attributes:
        postgres: The database server.
        valkey: The cache server.
    """

    def __init__(self, state_dir: Path | str, *, postgres_settings: Mapping[str, str] | None = None) -> None:
        self.postgres = EmbeddedPostgres(state_dir, settings=postgres_settings)
        self.valkey = EmbeddedValkey(state_dir)

    def start(self) -> Self:
        """Start both, or neither. Raises what `EmbeddedServer.start` raises."""
        self.postgres.start()
        try:
            self.valkey.start()
        except BaseException:  # also on Ctrl-C: both or neither
            self.postgres.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both in order, the cache first."""
        try:
            self.valkey.stop()
        finally:
            self.postgres.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
