"""Clients that write on and on beside a test, and remember what they said and how it was answered."""

import threading
from collections.abc import Callable
from typing import Self

import httpx

from tests.support.api import say


class Writing:
    """One thread of requests, from the beginning of a block to its end.

    Attributes:
        said: The texts that were sent, in their order.
        codes: How each of them was answered.
    """

    def __init__(self, client: httpx.Client, text: str, thread_of: Callable[[int], str]) -> None:
        """Nothing is sent yet.

        Args:
            client: Of its own; it is closed at the end.
            text: What every message begins with.
            thread_of: On which thread the message of that number is said.
        """
        self.said: list[str] = []
        self.codes: list[int] = []
        self._client = client
        self._text = text
        self._thread_of = thread_of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """It begins."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The last request is answered."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            number = len(self.codes)
            text = f"{self._text} {number}"
            answer = self._client.post("/v1/graph/invoke", json=say(text, self._thread_of(number)))
            self.said.append(text)
            self.codes.append(answer.status_code)
