"""The guide's program, as a user writes it: `python -m tests.support.guide_program DB REDIS THREAD TEXT...`.

Says each text on the thread and prints each answer on a line. With `--hold` it waits to be killed after
the last answer.
"""

import re
import sys
import threading

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.utils import END


def answer(state: AgentState) -> Message:
    """Remembers the name it was told in any turn of the thread."""
    said = " ".join(message.text() for message in state.context if message.role == "user")
    name = re.search(r"My name is (\w+)", said)
    return Message.text_message(f"You are {name[1]}." if name else "I do not know.", role="assistant")


def main() -> None:
    """Run the turns."""
    hold = "--hold" in sys.argv
    db_url, redis_url, thread_id, *texts = [word for word in sys.argv[1:] if word != "--hold"]
    graph = StateGraph()
    graph.add_node("MAIN", answer)
    graph.set_entry_point("MAIN")
    graph.add_edge("MAIN", END)
    checkpointer = PgCheckpointer(db_url=db_url, redis_url=None if redis_url == "none" else redis_url)
    app = graph.compile(checkpointer=checkpointer)
    for text in texts:
        result = app.invoke({"messages": [Message.text_message(text)]}, config={"thread_id": thread_id})
        print(result["messages"][-1].text(), flush=True)
    if hold:
        threading.Event().wait()
    app.close()


if __name__ == "__main__":
    main()
