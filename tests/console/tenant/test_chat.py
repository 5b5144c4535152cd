"""The chat in a browser without scripts, and what its script asks for."""

import json
import re
from collections.abc import Callable

import httpx

from tests.support.api import say
from tests.support.console import Visitor


def test_a_conversation_by_forms(admin: Visitor, client: httpx.Client) -> None:
    """Each message is answered with the page; the thread is an ordinary one."""
    page = admin.see("/console/chat")
    assert "Say something to begin" in page
    assert "<option selected>memory</option>" in page
    place = admin.send("/console/chat", text="My name is Alex.", agent="memory", thread="").headers[
        "location"
    ]
    page = admin.see(place)
    assert "I will remember that your name is Alex." in page
    found = re.search(r'name="thread" value="([^"]+)"', page[page.index('id="composer"') :])
    assert found is not None
    again = admin.send("/console/chat", text="What's my name?", agent="memory", thread=found[1])
    assert again.headers["location"] == place
    assert admin.see(place).count('<article class="message') == 4
    assert [one["thread_id"] for one in client.get("/v1/threads").json()["data"]["threads"]] == [found[1]]


def test_what_is_sent_twice_is_said_once(admin: Visitor, client: httpx.Client) -> None:
    """By a second press, or a reload: the form's key is the call's."""
    page = admin.see("/console/chat")
    repeat = re.search(r'name="repeat" value="([^"]+)"', page[page.index('id="composer"') :])
    assert repeat is not None
    fields = {"text": "My name is Alex.", "agent": "memory", "thread": "", "repeat": repeat[1]}
    first, second = (admin.send("/console/chat", **fields) for _ in range(2))
    assert (first.status_code, second.headers["location"]) == (303, first.headers["location"])
    [thread] = client.get("/v1/threads").json()["data"]["threads"]
    messages = client.get(f"/v1/threads/{thread['thread_id']}/messages").json()["data"]["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant"]


def test_a_key_that_may_only_run_agents(client: httpx.Client, signed_in: Callable[[str], Visitor]) -> None:
    """Sees what it is answered, in the page that answers, and goes on with the same thread; nothing more."""
    made = client.post("/v1/keys", json={"name": "runner", "scopes": ["graph:invoke"]})
    runner = signed_in(made.json()["data"]["api_key"])
    runner.see("/console/chat")
    first = runner.send("/console/chat", text="My name is Alex.", agent="memory", thread="", repeat="a" * 32)
    assert first.status_code == 200
    assert "I will remember that your name is Alex." in first.text
    assert first.text.count('<article class="message') == 2
    thread = re.search(r'name="thread" value="([^"]+)"', first.text[first.text.index('id="composer"') :])
    assert thread is not None
    fields = {"text": "What's my name?", "agent": "memory", "thread": thread[1], "repeat": "b" * 32}
    second = runner.send("/console/chat", **fields)
    assert "Alex" in second.text
    assert second.text.count('<article class="message') == 2


def test_a_question_is_asked_in_the_chat(admin: Visitor, client: httpx.Client) -> None:
    """With the form that answers it, also in the part that the script asks for."""
    client.post("/a/asks/v1/graph/invoke", json=say("hi", "t"))
    for path in ("/console/chat", "/console/chat/part"):
        page = admin.see(path, thread="t", agent="asks")
        assert "MAIN waits for an answer" in page
        assert 'action="/console/threads/t/answer"' in page


def test_nothing_and_unknown_agents(admin: Visitor) -> None:
    """An empty message is said to be one, an agent that is none is missing."""
    admin.see("/console/chat")
    assert admin.send("/console/chat", text="x", agent="nobody").status_code == 404
    assert admin.send("/console/chat", text="x", agent="../v1").status_code == 403
    assert "<option selected>memory</option>" in admin.see("/console/chat", agent="nobody")


def test_what_the_script_asks_for_is_told_as_it_comes(admin: Visitor) -> None:
    """The API's own stream, opened by the session and the page's token."""
    admin.see("/console/chat")
    path = "/console/api/a/memory/v1/graph/stream"
    body = say("My name is Alex.", None)
    assert admin.client.post(path, json=body).status_code == 403
    headers = {"x-form-token": admin.form_token}
    with admin.client.stream("POST", path, json=body, headers=headers) as answer:
        assert answer.status_code == 200
        chunks = [json.loads(line) for line in answer.iter_lines()]
    assert [chunk["message"]["role"] for chunk in chunks] == ["user", "assistant"]
    assert all(chunk["thread_id"] for chunk in chunks)
