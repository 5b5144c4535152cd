"""Operations as methods: what makes one is written once, and each face has its way to carry it out."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Protocol, Self, overload

from agentflow.client.engine import Engine
from agentflow.client.transports import finished


class Work[T](Protocol):
    """Something with one result."""

    def perform(self, engine: Engine) -> Coroutine[Any, Any, T]:
        """Do it."""


class Series[T](Protocol):
    """Something with many results."""

    def items(self, engine: Engine) -> AsyncGenerator[T]:
        """One after the other."""


class HasEngine:
    """A client, or a part of one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine


class _Method[**P, B, R]:
    """A method with the parameters of `build`, whose result is made of what that builds."""

    def __init__(self, build: Callable[P, B], carry_out: Callable[[Engine, B], R]) -> None:
        self._build = build
        self._carry_out = carry_out
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: HasEngine, owner: type) -> Callable[P, R]: ...

    def __get__(self, instance: HasEngine | None, owner: type) -> Self | Callable[P, R]:
        if instance is None:
            return self
        engine = instance._engine  # noqa: SLF001 - the method belongs to it

        @functools.wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._carry_out(engine, self._build(*args, **kwargs))

        return method


def blocking[**P, T](build: Callable[P, Work[T]]) -> _Method[P, Work[T], T]:
    """A method that returns the result."""
    return _Method(build, lambda engine, work: finished(work.perform(engine)))


def iterated[**P, T](build: Callable[P, Series[T]]) -> _Method[P, Series[T], Generator[T]]:
    """A method that returns an iterator. Nothing is sent before it is asked; closing it ends the answer."""
    return _Method(build, lambda engine, series: _each(series.items(engine)))


def awaited[**P, T](build: Callable[P, Work[T]]) -> _Method[P, Work[T], Coroutine[Any, Any, T]]:
    """A method to be awaited."""
    return _Method(build, lambda engine, work: work.perform(engine))


def async_iterated[**P, T](build: Callable[P, Series[T]]) -> _Method[P, Series[T], AsyncGenerator[T]]:
    """A method that returns an async iterator, as `iterated`."""
    return _Method(build, lambda engine, series: series.items(engine))


def _each[T](items: AsyncGenerator[T]) -> Generator[T]:
    """The items of an async generator on the blocking transport."""
    try:
        while True:
            try:
                item = finished(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        finished(_close(items))


async def _next[T](items: AsyncGenerator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncGenerator[Any]) -> None:
    await items.aclose()
