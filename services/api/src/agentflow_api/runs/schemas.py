"""What is asked of runs."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from agentflow_hosting.invoke_request import InvokeRequest
from agentflow_hosting.runs import CancelAction, Strategy

_LONGEST_DELAY_S: Final = 30 * 24 * 3600


class RunRequest(InvokeRequest):
    """Body of the routes that make a run."""

    after_s: Annotated[float, Field(ge=0, le=_LONGEST_DELAY_S, allow_inf_nan=False, strict=True)] = 0
    webhook: Annotated[str, Field(max_length=2000)] | None = None
    multitask_strategy: Strategy = "enqueue"
    durability: Literal["sync", "async", "exit"] = "sync"
    metadata: dict[str, Any] = Field(default_factory=dict)
    on_disconnect: Literal["continue", "cancel"] = "continue"

    def as_data(self) -> dict[str, Any]:
        """What a record keeps of the run itself."""
        data = super().as_data()
        for name in ("after_s", "webhook", "multitask_strategy", "metadata", "on_disconnect"):
            data.pop(name, None)
        durability = data.pop("durability", "sync")
        return data | {"config": {**data["config"], "durability": durability}}


class CancelRequest(BaseModel):
    """Body of `POST .../cancel`; may be empty."""

    model_config = ConfigDict(extra="forbid")

    action: CancelAction = "interrupt"
    wait: StrictBool = False
