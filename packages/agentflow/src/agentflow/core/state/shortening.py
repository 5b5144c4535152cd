"""What a node returns that leaves a shorter context behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message
from agentflow.core.state.reducers import RemoveMessage, replace_messages


def shortened(state: AgentState, kept: Sequence[Message]) -> dict[str, Any]:
    """The update after which the context is `kept`: some of its messages, in their order, edited or not.

    Messages that others add in the same step stay, but where the state's own reducer replaces the context.
    What leaves stays in the thread's history.
    """
    if replace_messages in type(state).model_fields["context"].metadata:
        return {"context": list(kept)}
    stay = {message.message_id: message for message in kept}
    changes: list[Message | RemoveMessage] = []
    for message in state.context:
        left = stay.get(message.message_id)
        if left is None:
            changes.append(RemoveMessage(message.message_id))
        elif left is not message:
            changes.append(left)
    return {"context": changes}
