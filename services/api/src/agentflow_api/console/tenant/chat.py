"""`/console/chat`: talk to an agent.

Its script asks `/console/api/…/v1/graph/stream`, the API's own route, and shows what comes; without a script
each message is answered with a page.
"""

import asyncio
from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.console.pages import TENANT, Page, at, done, shown
from agentflow_api.console.tenant.addresses import chat_address
from agentflow_api.console.tenant.showing import agents_of, part, show
from agentflow_api.console.tenant.threads.actions import run_agent, said
from agentflow_api.console.tenant.threads.changes import json_text
from agentflow_api.console.tenant.threads.messages import said_of
from agentflow_tenancy import GRAPH_INVOKE, THREADS_READ, ForbiddenError

_MESSAGES: Final = 40
_MISSING: Final = 404


@shown("/console/chat", TENANT)
async def show_chat(page: Page) -> Response[str]:
    """A conversation, and where to go on with it."""
    return show(page, "tenant/chat/chat.html", **await _conversation(page))


@shown("/console/chat/part", TENANT)
async def show_conversation(page: Page) -> Response[str]:
    """The conversation as it is now, without what is around it."""
    return part(page, "tenant/chat/conversation.html", **await _conversation(page))


@done("/console/chat", TENANT, form=show_chat)
async def send_message(page: Page) -> Response[str]:
    """Say something and wait for the answer. Sent twice, by a reload, it is said once."""
    thread_id = forms.text(page.form, "thread")
    config = {"thread_id": thread_id} if thread_id else {}
    asked = {"messages": [said(page.form.get("text", ""))], "config": config}
    answered = await run_agent(page, asked)
    if not page.may(THREADS_READ):  # all that such a key is ever told of it
        told = [*asked["messages"], *(one for one in answered["messages"] if one["role"] != "user")]
        shown_ones = {"thread_id": answered["meta"]["thread_id"], "messages": list(map(said_of, told))}
        return show(page, "tenant/chat/chat.html", **(await _conversation(page) | shown_ones))
    return page.go(chat_address(answered["meta"]["thread_id"], forms.text(page.form, "agent")))


async def _conversation(page: Page) -> dict[str, Any]:
    if not page.may(GRAPH_INVOKE):
        raise ForbiddenError("This key may not run agents: it lacks the scope graph:invoke.")
    thread_id = page.given("thread")
    (agents, agent), thread, messages = await asyncio.gather(
        agents_of(page, page.given("agent")), _thread(page, thread_id), _messages(page, thread_id)
    )
    shown_ones = messages[-_MESSAGES:]
    waits = [] if thread is None else thread["interrupts"]
    return {
        "thread_id": thread_id,
        "thread": thread,
        "agents": agents,
        "agent": agent,
        "messages": [said_of(one) for one in shown_ones],
        "hidden": len(messages) - len(shown_ones),
        "interrupts": [{**one, "text": json_text(one["value"])} for one in waits],
    }


async def _thread(page: Page, thread_id: str) -> Any:
    """None of a conversation that has not begun, or that the key may not read."""
    found = await _found(page, thread_id)
    return None if found is None else found["thread_data"]["thread"]


async def _messages(page: Page, thread_id: str) -> list[Any]:
    """Of the latest state: what is no part of it was said in another line of the thread's history."""
    found = await _found(page, thread_id, "state")
    return [] if found is None else (found["state"] or {}).get("context") or []


async def _found(page: Page, thread_id: str, *below: str) -> Any:
    if not thread_id or not page.may(THREADS_READ):
        return None
    try:
        return await page.api.get(at("/v1/threads", thread_id, *below))
    except ApiRefusedError as refused:
        if refused.status != _MISSING:
            raise
        return None


CHAT_PAGES = [show_chat, show_conversation, send_message]
