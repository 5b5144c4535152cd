"""What the routes of exports take."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ExportBody(BaseModel):
    """What to export: every thread, or one, or one user's."""

    model_config = ConfigDict(extra="forbid")

    thread_id: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    user_id: Annotated[str | None, Field(min_length=1, max_length=255)] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.thread_id is not None and self.user_id is not None:
            raise ValueError("name a thread or a user, not both")
        if "\0" in (self.user_id or ""):
            raise ValueError("user_id cannot hold a NUL")
        return self


class LinkBody(BaseModel):
    """How long a link lasts; never longer than the file."""

    model_config = ConfigDict(extra="forbid")

    expires_in_s: Annotated[int, Field(ge=1, le=7 * 24 * 3600)] = 3600
