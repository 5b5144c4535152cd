"""The suite that holds a checkpointer to its contract, for ours and for yours. Needs no test framework.

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    async def test_contract(case, checkpointer):
        await case.run(checkpointer)

A case fails with an AssertionError, or with the error that it did not expect. It uses a tenant of its own,
so cases may share a store; the one that sweeps expired threads sweeps those of everybody, as it must.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentflow.storage.checkpointer.testing import (
    copies,
    history,
    isolation,
    messages,
    search,
    sessions,
    threads,
    tools,
    writing,
)
from agentflow.storage.checkpointer.testing.case import Case

CASES: Final[Sequence[Case]] = (
    *writing.CASES,
    *messages.CASES,
    *history.CASES,
    *threads.CASES,
    *isolation.CASES,
    *sessions.CASES,
    *tools.CASES,
    *search.CASES,
    *copies.CASES,
)

__all__ = ["CASES", "Case"]
