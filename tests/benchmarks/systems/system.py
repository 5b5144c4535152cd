"""What a system must do to be measured on the workload."""

from abc import ABC, abstractmethod
from typing import Any, Self

from tests.benchmarks.workload import Chat


class Writer(ABC):
    """One thread on its way through a chat."""

    def __init__(self, chat: Chat) -> None:
        """Nothing is written yet."""
        self.steps = len(chat.steps)

    @abstractmethod
    def prepare(self, step: int) -> Any:
        """The step as the system takes it; not part of a write's latency."""

    @abstractmethod
    async def write(self, item: Any) -> None:
        """Make it durable; returns when it is."""

    async def close(self) -> None:  # noqa: B027 - most have nothing to do
        """The thread is done."""


class System(ABC):
    """Something that keeps threads; used in `async with`."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Connect."""

    @abstractmethod
    async def __aexit__(self, *_: object) -> None:
        """Let go of every connection."""

    @abstractmethod
    async def reset(self) -> None:
        """Forget every thread."""

    @abstractmethod
    async def writer(self, thread_id: str, chat: Chat) -> Writer:
        """Begin a thread."""

    @abstractmethod
    async def read(self, thread_id: str) -> object:
        """The thread's latest state."""
