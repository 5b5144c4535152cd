"""A thread at one of its checkpoints: what is read of it, and what a page shows of that."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.console.pages import Page, at
from agentflow_api.console.tenant.threads.changes import Changes, changes_between, json_text
from agentflow_api.console.tenant.threads.messages import said_of
from agentflow_api.console.tenant.threads.timeline import steps_of

_STEPS: Final = 30
_MESSAGES: Final = 50
_MOST_TEXT: Final = 20_000


async def point_of(page: Page, thread_id: str) -> dict[str, Any]:
    """What the page of a thread shows.

    Args:
        page: Its query names `at`, a checkpoint; `before`, a page of the timeline; `messages=all`.
        thread_id: As the tenant knows it.

    Raises:
        ApiRefusedError: There is no such thread or checkpoint, or the key may not read it.

    Cost: four to five requests to the API, at most two of them after one another.
    """
    query = page.query
    before = query.get("before", "")
    told, history = await asyncio.gather(
        page.api.get(at("/v1/threads", thread_id)),
        page.api.get(at("/v1/threads", thread_id, "history"), limit=_STEPS, cursor=before),
    )
    thread, checkpoints = told["thread_data"]["thread"], history["checkpoints"]
    shown = {
        "thread": thread,
        "metadata": [(key, _word(value)) for key, value in (thread["metadata"] or {}).items()],
        "interrupts": [{**one, "text": json_text(one["value"])} for one in thread["interrupts"]],
        "steps": steps_of(checkpoints),
        "before": before,
        "older": history["next_cursor"] or "",
    }
    latest = str(checkpoints[0]["seq"]) if checkpoints else ""
    chosen = query.get("at", "") or page.form.get("checkpoint", "") or latest
    return shown | ({"at": 0} if not chosen else await _at(page, thread_id, chosen, checkpoints))


async def _at(page: Page, thread_id: str, chosen: str, checkpoints: list[dict[str, Any]]) -> dict[str, Any]:
    known = next((one for one in checkpoints if str(one["seq"]) == chosen), None)
    if known is None:
        known = (await page.api.get(at("/v1/threads", thread_id, "history", chosen)))["checkpoint"]
    state, changes = await _state_and_changes(page, thread_id, known)
    messages = (state or {}).get("context") or []
    hidden = 0 if page.query.get("messages") == "all" else max(0, len(messages) - _MESSAGES)
    fields = {name: value for name, value in (state or {}).items() if name != "context" and value is not None}
    return {
        "at": known["seq"],
        "changes": changes,
        "messages": [said_of(one) for one in messages[hidden:]],
        "message_count": len(messages),
        "hidden": hidden,
        "fields": [(name, json_text(value, most=_MOST_TEXT)) for name, value in fields.items()],
    }


async def _state_and_changes(
    page: Page, thread_id: str, checkpoint: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, Changes | None]:
    """The state at a checkpoint, and what leads to it; that is None where the one before is not kept."""

    async def state_at(seq: int) -> dict[str, Any] | None:
        path = at("/v1/threads", thread_id, "history", str(seq), "state")
        state: dict[str, Any] | None = (await page.api.get(path))["state"]
        return state

    async def state_before() -> tuple[bool, dict[str, Any] | None]:
        parent = checkpoint["parent"]
        if not parent:
            return True, None
        try:
            return True, await state_at(parent)
        except ApiRefusedError as refused:
            if refused.status != 404:
                raise
            return False, None

    state, (is_kept, before) = await asyncio.gather(state_at(checkpoint["seq"]), state_before())
    return state, changes_between(before, state) if is_kept else None


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
