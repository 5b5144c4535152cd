"""Bodies of the offboarding routes."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

_MOST_GRACE_S: Final = 90 * 86_400
GRACE_S: Final = 7 * 86_400
Grace = Annotated[StrictInt, Field(ge=0, le=_MOST_GRACE_S)]
UserId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


class OffboardingBody(BaseModel):
    """A tenant to be offboarded. Nothing goes for `grace_s`, a week if not said."""

    model_config = ConfigDict(extra="forbid")

    dry_run: StrictBool = False
    export: StrictBool = False
    grace_s: Grace = GRACE_S


class OwnOffboardingBody(OffboardingBody):
    """The same by the tenant itself; `confirm` repeats its slug, but for a dry run."""

    confirm: Annotated[str, Field(max_length=64)] = ""


class ForgettingBody(BaseModel):
    """A user to be forgotten. It begins at once if no grace is said."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    dry_run: StrictBool = False
    grace_s: Grace = 0
