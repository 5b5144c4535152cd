"""`PATCH /v1/threads/{thread_id}`: a thread's attributes."""

from typing import Annotated, Any, Self

from litestar import Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentflow.storage.checkpointer import ThreadChange
from agentflow_api.http import parameters
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success
from agentflow_api.http.routing import patch
from agentflow_api.http.times import IsoTime
from agentflow_api.threads.views import thread_with_interrupts
from agentflow_api.wiring import Wiring
from agentflow_tenancy import THREADS_WRITE, Principal


class ThreadPatch(BaseModel):
    """Body of `PATCH /v1/threads/{thread_id}`; null takes away.

    `expires_at`: the thread is deleted some time after it, unless a run works or it waits for an answer.
    """

    model_config = ConfigDict(extra="forbid")

    thread_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    metadata: dict[str, Any] | None = None
    expires_at: IsoTime | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name what to change: thread_name, metadata, expires_at")
        return self

    def change(self) -> ThreadChange:
        """The same for the store."""
        given = self.model_fields_set
        return ThreadChange(
            "thread_name" in given, self.thread_name, self.metadata, "expires_at" in given, self.expires_at
        )


@patch("/{thread_id:str}")
async def patch_thread(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Change a thread's name, keys of its metadata, or when it is deleted."""
    principal.require(THREADS_WRITE)
    stored_id = principal.stored_id(parameters.thread_id(thread_id))
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(ThreadPatch, body)
    info = await wiring.store.update_thread(principal.scope, stored_id, asked.change())
    return success({"thread_data": {"thread": thread_with_interrupts(info, principal)}})
