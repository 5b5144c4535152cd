"""Calling one node: async or blocking, with its deadline, errors named after it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

from agentflow.core.graph.context import NodeContext, node_context
from agentflow.errors import GraphDefinitionError, NodeError, NodeTimeoutError
from agentflow.utils.interrupt import ResumeValues, resume_values


@cache
def _threads() -> ThreadPoolExecutor:
    # Blocking nodes run beside the loop, which has heartbeats and other runs to serve.
    return ThreadPoolExecutor(max_workers=64, thread_name_prefix="agentflow-node")


class Node:
    """A node as it is called: its function, and how that takes the config."""

    def __init__(self, name: str, function: object) -> None:
        """Read the function's signature once.

        Raises:
            GraphDefinitionError: It cannot be called with (state) or (state, config).
        """
        if not callable(function):
            raise GraphDefinitionError(
                f"Node {name!r} must be a function of (state, config), not {function!r}."
            )
        style = _config_style(function)
        if style is None:
            raise GraphDefinitionError(
                f"Node {name!r} must take (state, config) or (state), not {inspect.signature(function)}."
            )
        self.name = name
        self.function: Callable[..., Any] = function
        self._style = style

    async def call(
        self,
        context: NodeContext,
        state: Any,
        config: dict[str, Any],
        *,
        answers: list[Any],
        timeout_s: float | None,
    ) -> Any:
        """Run the node and give what it returned.

        Args:
            answers: Given to the node's interrupts so far.
            timeout_s: Its deadline; None for none.

        Raises:
            NodeError: It raised; the original is the cause.
            NodeTimeoutError: It took too long. A blocking node's thread goes on, its result is dropped.
            GraphInterrupt: It called `interrupt()` and waits.
        """
        in_node = node_context.set(context)
        in_answers = resume_values.set(ResumeValues(answers))
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                return await self._call(state, config)
        except TimeoutError as error:
            if deadline.expired():
                raise NodeTimeoutError(
                    f"Node {self.name!r} took longer than its node_timeout of {timeout_s:g} s; "
                    "the state before it is kept.",
                    node=self.name,
                ) from error
            raise self._failed(error) from error
        except NodeError:
            raise
        except (Exception, SystemExit) as error:  # a node is the user's code: an edge
            # `sys.exit()` in a node fails the node: the process has other runs to serve.
            raise self._failed(error) from error
        finally:
            # A graph that runs inside another's node must leave the outer node's context as it was.
            resume_values.reset(in_answers)
            node_context.reset(in_node)

    async def _call(self, state: Any, config: dict[str, Any]) -> Any:
        if self._style == "positional":
            return await call_function(self.function, state, config)
        if self._style == "keyword":
            return await call_function(self.function, state, config=config)
        return await call_function(self.function, state)

    def _failed(self, error: Exception | SystemExit) -> NodeError:
        return NodeError(f"Node {self.name!r} failed: {type(error).__name__}: {error}", node=self.name)


async def call_function(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that may be async or blocking; a blocking one runs in a thread."""
    bound = partial(function, *args, **kwargs)
    if _is_async(function):
        return await bound()
    context = contextvars.copy_context()
    result = await asyncio.get_running_loop().run_in_executor(_threads(), context.run, bound)
    return await result if inspect.isawaitable(result) else result


def _config_style(function: Callable[..., Any]) -> str | None:
    """How the function takes the config: positional, keyword, none; None if it is no node."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some C functions tell none: such a one takes the state
        return "none"
    styles: list[tuple[str, list[None], dict[str, None]]] = [
        ("positional", [None, None], {}),
        ("keyword", [None], {"config": None}),
        ("none", [None], {}),
    ]
    for style, args, kwargs in styles:
        if style == "positional" and _second_has_default(signature):
            continue
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            continue
        return style
    return None


def _second_has_default(signature: inspect.Signature) -> bool:
    """`def node(state, temperature=0.2)` has an option of its own there, not the config."""
    positional = [
        p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(positional) < 2:
        return False
    return positional[1].default is not inspect.Parameter.empty and positional[1].name != "config"


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
