"""Addresses of the tenant's pages."""

from urllib.parse import quote, urlencode


def thread_address(thread_id: str, *, at: int | None = None, page: str = "", **query: str) -> str:
    """A thread's page, at a checkpoint or the latest one; or a page below it."""
    said = {**({} if at is None else {"at": str(at)}), **{name: text for name, text in query.items() if text}}
    below = f"/{page}" if page else ""
    return f"/console/threads/{quote(thread_id, safe=':')}{below}" + (f"?{urlencode(said)}" if said else "")


def chat_address(thread_id: str = "", agent: str = "") -> str:
    """The chat box, with a thread and an agent."""
    said = {name: text for name, text in (("thread", thread_id), ("agent", agent)) if text}
    return "/console/chat" + (f"?{urlencode(said)}" if said else "")
