"""The client that blocks."""

from __future__ import annotations

from typing import Self

import httpx

from agentflow.client.engine import IDLE_S, TIMEOUT_S, Engine
from agentflow.client.faces import HasEngine, blocking, iterated
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
from agentflow.client.transports import BlockingTransport, finished


class Threads(HasEngine):
    """Threads: their state, messages and history."""

    list = iterated(threads.list_threads)
    search = iterated(threads.search)
    get = blocking(threads.get)
    update = blocking(threads.update)
    delete = blocking(threads.delete)
    delete_many = blocking(threads.delete_many)
    state = blocking(threads.state)
    update_state = blocking(threads.update_state)
    delete_state = blocking(threads.delete_state)
    messages = iterated(thread_messages.messages)
    add_messages = blocking(thread_messages.add_messages)
    get_message = blocking(thread_messages.get_message)
    delete_message = blocking(thread_messages.delete_message)
    export_messages = iterated(thread_messages.export_messages)
    import_messages = blocking(thread_messages.import_messages)
    history = iterated(versions.history)
    state_at = blocking(versions.state_at)
    fork = blocking(versions.fork)
    copy = blocking(versions.copy)
    observe = blocking(observability.observe)


class Runs(HasEngine):
    """Runs as resources of their own."""

    create = blocking(runs.create)
    wait = blocking(runs.wait)
    stream = iterated(runs.stream)
    rejoin = iterated(runs.rejoin)
    list = iterated(runs.list_runs)
    get = blocking(runs.get)
    cancel = blocking(runs.cancel)
    join = blocking(runs.join)


class Graph(HasEngine):
    """The agent."""

    get = blocking(graph.get)
    state_schema = blocking(graph.state_schema)
    tools = blocking(graph.tools)
    stop = blocking(graph.stop)
    fix = blocking(graph.fix)
    setup = blocking(graph.setup)


class AgentFlowClient(HasEngine):
    """A client of one service, with one credential; safe to share between threads.

    Close it, or use it in a `with`.

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
        http_client: httpx.Client | None = None,
    ) -> None:
        target = Target(base_url, api_key, agent)
        self._bind(Engine(target, BlockingTransport(http_client), retries, timeout_s, stream_idle_s))

    def _bind(self, engine: Engine) -> None:
        super().__init__(engine)
        self.threads = Threads(engine)
        self.runs = Runs(engine)
        self.graph = Graph(engine)

    invoke = blocking(graph.invoke)
    stream = iterated(graph.stream)
    run_tools = blocking(tool_loop.run_tools)
    ping = blocking(graph.ping)

    def with_agent(self, agent: str | None) -> Self:
        """The same client for another agent, on the same connections."""
        other = object.__new__(type(self))
        other._bind(self._engine.for_agent(agent))
        return other

    def close(self) -> None:
        """Close the connections, also those of `with_agent`."""
        finished(self._engine.transport.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine.target!r})"
