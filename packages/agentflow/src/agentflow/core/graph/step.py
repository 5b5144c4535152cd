"""One step of a run: its nodes, side by side, each on the same state."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from agentflow.core.graph.config import RunConfig
from agentflow.core.graph.context import NodeContext
from agentflow.core.graph.emitter import Emitter
from agentflow.core.graph.node import Node
from agentflow.core.graph.run_spans import node_span, note_models
from agentflow.core.graph.tool_ledger import NodeTools
from agentflow.core.graph.updates import BadUpdateError, Update, update_of
from agentflow.core.state.agent_state import AgentState
from agentflow.errors import NodeResultError
from agentflow.storage.checkpointer.delta import Fields, Json
from agentflow.utils.interrupt import GraphInterrupt

Outcome = Update | GraphInterrupt


async def run_nodes(  # noqa: PLR0917 - what a step is made of
    nodes: list[Node],
    state: AgentState,
    fields: Fields,
    config: RunConfig,
    emitter: Emitter,
    answers: Mapping[str, list[Json]],
    tools: Callable[[str], NodeTools],
) -> AsyncGenerator[dict[str, Outcome]]:
    """Run nodes side by side; yields what ended, as it ends, by node.

    Args:
        nodes: Of the step, those that have not finished.
        state: That all of them are given.
        fields: Its fields, encoded.
        config: Of the run.
        emitter: Where pieces of answers go.
        answers: Node -> answers to its interrupts so far.
        tools: Node -> its page of the tool ledger.

    The first one that raises ends the others, and its error is raised.
    """
    if len(nodes) == 1:
        yield {nodes[0].name: await _run(nodes[0], state, fields, config, emitter, answers, tools)}
        return
    tasks = {
        asyncio.create_task(_run(node, state, fields, config, emitter, answers, tools)): node.name
        for node in nodes
    }
    running = set(tasks)
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # In the order of the nodes: of two that fail at once it is always the same one that is told.
            ended = [task for task in tasks if task in done]
            succeeded = {tasks[task]: task.result() for task in ended if not task.exception()}
            if succeeded:
                yield succeeded
            for task in ended:
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run(  # noqa: PLR0917 - as above
    node: Node,
    state: AgentState,
    fields: Fields,
    config: RunConfig,
    emitter: Emitter,
    answers: Mapping[str, list[Json]],
    tools: Callable[[str], NodeTools],
) -> Outcome:
    context = NodeContext(
        node=node.name, emitter=emitter, tool_timeout_s=config.tool_timeout_s, tools=tools(node.name)
    )
    given = _own_copy(state)
    try:
        with node_span(node.name, state.execution_meta.step + 1) as span:
            result = await node.call(
                context,
                given,
                dict(config.values),
                answers=list(answers.get(node.name, ())),
                timeout_s=config.node_timeout_s,
            )
            update = update_of(result, state, fields)
            note_models(span, update, state.context)
        return update
    except GraphInterrupt as pause:
        return pause
    except BadUpdateError as error:
        raise NodeResultError(f"Node {node.name!r} returned {error}", node=node.name) from error


def _own_copy[S: AgentState](state: S) -> S:
    """A copy the node may change without anybody noticing; messages are immutable and shared.

    Deep copies the fields only, never the context: that grows with the conversation.
    """
    given = state.model_copy()
    values: dict[str, Any] = given.__dict__
    for name, value in values.items():
        values[name] = list(value) if name == "context" else copy.deepcopy(value)
    return given
