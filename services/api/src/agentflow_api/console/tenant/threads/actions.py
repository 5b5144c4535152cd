"""What is done to a thread from its page: each a form, answered with the page that shows what came of it."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.pages import TENANT, Page, at, done
from agentflow_api.console.tenant.addresses import thread_address
from agentflow_api.console.tenant.threads.routes import show_thread

_ONE: Final = "/console/threads/{thread_id:str}"


@done(f"{_ONE}/answer", TENANT, form=show_thread)
async def answer_interrupt(page: Page, thread_id: str) -> Response[str]:
    """Answer a question that the thread waits with, by its id, and let the run go on."""
    asked = {"resume": forms.answer(page.form), "resume_id": forms.text(page.form, "interrupt_id")}
    await run_agent(page, {**asked, "config": {"thread_id": thread_id}})
    return page.go(_here(page, thread_id), "Answered: the run went on.")


@done(f"{_ONE}/continue", TENANT, form=show_thread)
async def continue_from(page: Page, thread_id: str) -> Response[str]:
    """Run from a checkpoint, with a message or with what was unfinished there."""
    text, seq = forms.text(page.form, "text"), forms.number(page.form, "checkpoint")
    asked = {"messages": [said(text)]} if text else {}
    await run_agent(page, {**asked, "config": {"thread_id": thread_id, "checkpoint": seq}})
    return page.go(_here(page, thread_id), f"Run from checkpoint {seq}; what was before is still there.")


@done(f"{_ONE}/fork", TENANT, form=show_thread)
async def fork(page: Page, thread_id: str) -> Response[str]:
    """Make a checkpoint the latest state, here or of a new thread."""
    seq, repeat = forms.number(page.form, "checkpoint"), forms.text(page.form, "repeat")
    asked: dict[str, Any] = {"checkpoint": seq}
    if forms.text(page.form, "where") != "here":
        asked["to_thread"] = forms.text(page.form, "to_thread") or f"fork-{repeat[:12]}"
    made = await page.api.send("POST", at("/v1/threads", thread_id, "fork"), asked, key=repeat)
    return page.go(thread_address(made["thread_id"]), f"Forked from checkpoint {seq} of {thread_id}.")


@done(f"{_ONE}/rename", TENANT, form=show_thread)
async def rename(page: Page, thread_id: str) -> Response[str]:
    """Name the thread; an empty name takes it away."""
    name = forms.text(page.form, "thread_name") or None
    await page.api.send("PATCH", at("/v1/threads", thread_id), {"thread_name": name})
    return page.go(thread_address(thread_id), "Renamed.")


@done(f"{_ONE}/delete", TENANT, form=show_thread)
async def delete(page: Page, thread_id: str) -> Response[str]:
    """Delete the thread, once its id was typed."""
    if page.form.get("confirm") != thread_id:
        raise forms.invalid("confirm", "The id that you typed is not the thread's; nothing was deleted.")
    await page.api.send("DELETE", at("/v1/threads", thread_id))
    return page.go("/console/threads", f"The thread {thread_id} was deleted.")


def said(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"message_id": "0", "role": "user", "content": [{"type": "text", "text": text}]}


async def run_agent(page: Page, asked: dict[str, Any]) -> Any:
    """Have the form's agent run, and wait for what came of it."""
    agent = forms.text(page.form, "agent")
    path = f"{at('/a', agent) if agent else ''}/v1/graph/invoke"
    body = {**asked, "response_granularity": "low"}
    return await page.api.send("POST", path, body, key=forms.text(page.form, "repeat") or None)


def _here(page: Page, thread_id: str) -> str:
    return thread_address(thread_id, agent=forms.text(page.form, "agent"))


THREADS_FORMS = [answer_interrupt, continue_from, fork, rename, delete]
