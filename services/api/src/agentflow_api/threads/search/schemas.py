"""What threads are looked for by. Unknown names are refused: a condition misspelt would let more pass."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from agentflow.storage.checkpointer import ThreadFilter, ThreadSort
from agentflow.storage.checkpointer.run_status import ThreadStatus
from agentflow_api.http.times import IsoTime

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Id = Annotated[str, Field(min_length=1, max_length=255)]


class ThreadConditions(BaseModel):
    """Conditions that a thread must all meet; none is any thread."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any] | None = None
    user_id: Id | None = None
    text: Text | None = None
    thread_name: Text | None = None
    updated_before: IsoTime | None = None
    updated_after: IsoTime | None = None
    created_before: IsoTime | None = None
    created_after: IsoTime | None = None
    status: ThreadStatus | None = None

    def wanted(self, ids: list[str] | None = None) -> ThreadFilter:
        """The same for the store, with stored ids."""
        return ThreadFilter(
            ids=ids,
            metadata=self.metadata,
            user_id=self.user_id,
            text=self.text,
            name=self.thread_name,
            updated_before=self.updated_before,
            updated_after=self.updated_after,
            created_before=self.created_before,
            created_after=self.created_after,
            status=self.status,
        )


class SearchRequest(ThreadConditions):
    """Body of `POST /v1/threads/search`; may be empty."""

    sort: ThreadSort = "-updated_at"
    limit: Annotated[StrictInt, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=2000)] | None = None


class DeleteRequest(ThreadConditions):
    """Body of `POST /v1/threads/delete`."""

    ids: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = None
    dry_run: StrictBool = True
    limit: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1000
