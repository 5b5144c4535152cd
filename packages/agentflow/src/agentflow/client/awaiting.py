"""The client that is awaited."""

from __future__ import annotations

from typing import Self

import httpx

from agentflow.client.engine import IDLE_S, TIMEOUT_S, Engine
from agentflow.client.faces import HasEngine, async_iterated, awaited
from agentflow.client.operations import (
    graph,
    observability,
    runs,
    thread_messages,
    threads,
    tool_loop,
    versions,
)
from agentflow.client.retries import RetryPolicy
from agentflow.client.target import Target
from agentflow.client.transports import AwaitedTransport


class Threads(HasEngine):
    """Threads: their state, messages and history."""

    list = async_iterated(threads.list_threads)
    search = async_iterated(threads.search)
    get = awaited(threads.get)
    update = awaited(threads.update)
    delete = awaited(threads.delete)
    delete_many = awaited(threads.delete_many)
    state = awaited(threads.state)
    update_state = awaited(threads.update_state)
    delete_state = awaited(threads.delete_state)
    messages = async_iterated(thread_messages.messages)
    add_messages = awaited(thread_messages.add_messages)
    get_message = awaited(thread_messages.get_message)
    delete_message = awaited(thread_messages.delete_message)
    export_messages = async_iterated(thread_messages.export_messages)
    import_messages = awaited(thread_messages.import_messages)
    history = async_iterated(versions.history)
    state_at = awaited(versions.state_at)
    fork = awaited(versions.fork)
    copy = awaited(versions.copy)
    observe = awaited(observability.observe)


class Runs(HasEngine):
    """Runs as resources of their own."""

    create = awaited(runs.create)
    wait = awaited(runs.wait)
    stream = async_iterated(runs.stream)
    rejoin = async_iterated(runs.rejoin)
    list = async_iterated(runs.list_runs)
    get = awaited(runs.get)
    cancel = awaited(runs.cancel)
    join = awaited(runs.join)


class Graph(HasEngine):
    """The agent."""

    get = awaited(graph.get)
    state_schema = awaited(graph.state_schema)
    tools = awaited(graph.tools)
    stop = awaited(graph.stop)
    fix = awaited(graph.fix)
    setup = awaited(graph.setup)


class AsyncAgentFlowClient(HasEngine):
    """A client of one service, with one credential; for the tasks of one event loop.

    Close it, or use it in an `async with`.

    Args:
        base_url: The service's address.
        api_key: A key, or a token.
        agent: The hosted agent to speak to; None for the tenant's default one.
        timeout_s: Longest wait for an answer.
        stream_idle_s: A rejoined stream that says nothing for so long is rejoined again.
        retries: When requests are sent again that may be: reads, what carries an idempotency key, and
            whatever a quota refused.
        http_client: One of yours, for proxies or certificates; it is not closed with this.

    Raises:
        ConfigurationError: The address or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        agent: str | None = None,
        timeout_s: float = TIMEOUT_S,
        stream_idle_s: float = IDLE_S,
        retries: RetryPolicy | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        target = Target(base_url, api_key, agent)
        self._bind(Engine(target, AwaitedTransport(http_client), retries, timeout_s, stream_idle_s))

    def _bind(self, engine: Engine) -> None:
        super().__init__(engine)
        self.threads = Threads(engine)
        self.runs = Runs(engine)
        self.graph = Graph(engine)

    invoke = awaited(graph.invoke)
    stream = async_iterated(graph.stream)
    run_tools = awaited(tool_loop.run_tools)
    ping = awaited(graph.ping)

    def with_agent(self, agent: str | None) -> Self:
        """The same client for another agent, on the same connections."""
        other = object.__new__(type(self))
        other._bind(self._engine.for_agent(agent))
        return other

    async def aclose(self) -> None:
        """Close the connections, also those of `with_agent`."""
        await self._engine.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine.target!r})"
