"""A tenant's threads in a browser: found, read at any point, gone on with."""

import re
from html import unescape
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, last_text, say
from tests.support.console import Visitor
from tests.support.openai_stub import OpenAIStub, Reply

EVIL = "<script>alert('evil')</script><img src=x onerror=alert(1)>"


def run(client: httpx.Client, text: str, thread_id: str, agent: str = "memory", **config: Any) -> str:
    body = say(text, thread_id)
    body["config"] |= config
    return last_text(client.post(f"/a/{agent}/v1/graph/invoke", json=body))


def ids_on(page: str) -> list[str]:
    """Of the threads of a list, in its order."""
    return re.findall(r'data-label="Thread"><a href="/console/threads/([^"]+)"', page)


def repeat_in(page: str) -> str:
    """The key of the first form that may be sent twice."""
    found = re.search(r'name="repeat" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def sent(visitor: Visitor, path: str, **fields: Any) -> str:
    """Where a form leads."""
    answer = visitor.send(path, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_nothing_yet(admin: Visitor) -> None:
    """An empty list says what to do next."""
    assert "Start one in the chat" in admin.see("/console/threads")
    assert "Start one in the chat" in admin.see("/console/home")


def test_pages_and_conditions(admin: Visitor, client: httpx.Client) -> None:
    """Each thread is on one page; conditions stay in the form and in the pages that follow."""
    for number in range(27):
        team = "red" if number % 2 else "blue"
        run(client, f"My number is {number}.", f"t{number:02}", thread_metadata={"team": team})
    first = admin.see("/console/threads", sort="thread_id")
    assert ids_on(first) == [f"t{number:02}" for number in range(25)]
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = admin.see(unescape(following[1]))
    assert ids_on(second) == ["t25", "t26"]
    assert "First page" in second
    assert 'rel="next"' not in second
    assert ids_on(admin.see("/console/threads", text="number is 7")) == ["t07"]
    red = admin.see("/console/threads", metadata="team=red", sort="thread_id")
    assert ids_on(red) == [f"t{number:02}" for number in range(1, 27, 2)]
    assert 'value="team=red"' in red
    assert ids_on(admin.see("/console/threads", since="2099-01-01")) == []
    assert ids_on(admin.see("/console/threads", user="nobody")) == []
    assert "No thread meets all of these" in admin.see("/console/threads", name="nobody")
    wrong = admin.see("/console/threads?metadata=nonsense&text=kept", status=422)
    assert "key=value" in wrong
    assert re.search(r'name="metadata" value="nonsense"[^>]* aria-invalid="true"', wrong)
    assert 'name="text" value="kept"' in wrong
    assert admin.client.get("/console/threads?open=t07").headers["location"] == "/console/threads/t07"


def test_a_thread_step_by_step(admin: Visitor, client: httpx.Client) -> None:
    """Its checkpoints, the messages and fields at each, and what each changed."""
    run(client, "My name is Alex.", "t")
    run(client, "My cat is Tom.", "t")
    latest = admin.see("/console/threads/t")
    steps = re.findall(r'<span class="seq">(\d+)</span> <span class="step-title">([^<]+)</span>', latest)
    assert [int(seq) for seq, _ in steps] == list(range(len(steps), 0, -1))
    assert "My cat is Tom." in latest
    assert "cat" in latest
    began = admin.see("/console/threads/t", at=2)
    assert "Checkpoint 2" in began
    assert "I will remember that your name is Alex." in began
    assert "My cat is Tom." not in began
    assert re.search(r"<code>facts\.name</code>|<code>facts</code>", began)
    assert "New message" in began
    admin.see("/console/threads/t", status=404, at=99)
    admin.see("/console/threads/t", status=422, at="x")
    admin.see("/console/threads/nobody", status=404)


def test_a_long_history_has_pages(admin: Visitor, client: httpx.Client) -> None:
    """Older checkpoints stand behind a link, and messages before the last fifty likewise."""
    for number in range(31):
        run(client, f"Say {number}.", "t", agent="echo")
    page = admin.see("/console/threads/t")
    assert page.count('class="seq"') == 30
    older = re.search(r'href="([^"]+)">Older', page)
    assert older is not None
    behind = admin.see(unescape(older[1]))
    assert 0 < behind.count('class="seq"') <= 30
    assert "Latest" in behind
    shown_all = re.search(r'href="([^"]+)">Show the (\d+) before', page)
    assert shown_all is not None
    assert "Say 0." not in page
    assert "Say 0." in admin.see(unescape(shown_all[1]).partition("#")[0])


def test_forks(admin: Visitor, client: httpx.Client) -> None:
    """Into a new thread once, however often the form is sent; and in place, with the rest kept."""
    run(client, "My name is Alex.", "t")
    run(client, "My cat is Tom.", "t")
    page = admin.see("/console/threads/t", at=2)
    fields = {"checkpoint": 2, "repeat": repeat_in(page), "where": "new", "to_thread": ""}
    copy = sent(admin, "/console/threads/t/fork", **fields)
    assert sent(admin, "/console/threads/t/fork", **fields) == copy
    assert copy.startswith("/console/threads/fork-")
    told = admin.see(copy)
    assert "Forked from checkpoint 2 of t." in told
    assert "Tom" not in told
    assert sent(admin, "/console/threads/t/fork", **{**fields, "repeat": "b" * 32, "where": "here"}) == (
        "/console/threads/t"
    )
    here = admin.see("/console/threads/t")
    assert "from 2" in here
    assert "My cat is Tom." not in here
    assert len(client.get("/v1/threads").json()["data"]["threads"]) == 2


def test_going_on_from_a_point(admin: Visitor, client: httpx.Client) -> None:
    """With a message: the thread is then as if nothing had come between, and all of it is still there."""
    run(client, "My name is Alex.", "t")
    run(client, "My name is Kim.", "t")
    page = admin.see("/console/threads/t", at=2)
    fields = {"checkpoint": 2, "repeat": repeat_in(page), "text": "What's my name?", "agent": "memory"}
    place = sent(admin, "/console/threads/t/continue", **fields)
    now = admin.see(place)
    assert "Alex" in now
    assert "My name is Kim." not in now
    assert "My name is Kim." in admin.see("/console/threads/t", at=4)


def test_questions_are_answered(admin: Visitor, reader: Visitor, client: httpx.Client) -> None:
    """As text or as JSON, once; who may not run agents sees the question and no form."""
    client.post("/a/twice/v1/graph/invoke", json=say("hi", "t"))
    page = admin.see("/console/threads/t", agent="twice")
    assert "MAIN waits for an answer" in page
    assert "really?" in page
    assert ids_on(admin.see("/console/threads?status=interrupted")) == ["t"]
    assert ids_on(admin.see("/console/threads?status=idle")) == []
    asked = re.search(r'name="interrupt_id" value="([^"]+)"', page)
    assert asked is not None
    fields = {"interrupt_id": asked[1], "agent": "twice", "repeat": repeat_in(page)}
    path = "/console/threads/t/answer"
    refused = admin.send(path, **fields, answer="{", form="json")
    assert refused.status_code == 422
    assert re.search(r'name="answer"[^>]* aria-invalid="true"[^>]*>{</textarea>', refused.text)
    assert '<option value="json" selected>' in refused.text
    place = sent(admin, path, **fields, answer='{"sure": 3}', form="json")
    page = admin.see(place)
    assert "really really?" in page
    again = admin.send(path, **{**fields, "repeat": "c" * 32}, answer="late", form="text")
    assert again.status_code == 409
    assert 'role="alert" id="problem"' in again.text
    asked = re.search(r'name="interrupt_id" value="([^"]+)"', page)
    assert asked is not None
    seen = reader.see("/console/threads/t")
    assert "really really?" in seen
    assert 'name="interrupt_id"' not in seen
    fields = {"interrupt_id": asked[1], "agent": "twice", "repeat": repeat_in(page)}
    page = admin.see(sent(admin, path, **fields, answer="yes", form="text"))
    assert "waits for an answer" not in page
    assert "you said {&#39;sure&#39;: 3} and yes" in page


def test_a_runs_waterfall(admin: Visitor, client: httpx.Client, model: OpenAIStub) -> None:
    """Its nodes, model and tool calls with their times and tokens, and the checkpoints that it made."""
    model.script += [Reply(calls=[("look_up", {"word": "sun"})]), Reply("The sun.")]
    client.post("/a/traced/v1/graph/invoke", json=say("what is the sun?", "t"))
    page = admin.see("/console/threads/t")
    trace = re.search(r'href="([^"]+)">Latest run: trace', page)
    assert trace is not None
    run_page = admin.see(trace[1])
    assert run_page.count("kind-model") == 2
    assert run_page.count("kind-tool") == 1
    assert run_page.count("kind-node") == 3
    assert "11 in, 7 out" in run_page
    assert "22 in, 14 out" in run_page
    assert "look_up" in run_page
    assert "checkpoint" in run_page
    assert "data-live" not in run_page
    part = admin.see(trace[1] + "/part")
    assert "<html" not in part
    assert "kind-model" in part
    admin.see("/console/threads/t/runs/nothing", status=404)


def test_a_run_that_failed(admin: Visitor, client: httpx.Client) -> None:
    """The thread says so, and the run's page which node it was."""
    client.post("/a/breaks/v1/graph/invoke", json=say("hi", "t"))
    page = admin.see("/console/threads/t")
    assert '<span class="badge bad">error</span>' in page
    trace = re.search(r'href="([^"]+)">Latest run: trace', page)
    assert trace is not None
    assert "failed" in admin.see(trace[1])


def test_names_and_deleting(admin: Visitor, client: httpx.Client) -> None:
    """A name is set and taken away; deleting wants the id typed."""
    run(client, "My name is Alex.", "t")
    path = "/console/threads/t"
    admin.see(path)
    assert "<h1>Mine" in admin.see(sent(admin, f"{path}/rename", thread_name="Mine"))
    assert "<h1>t" in admin.see(sent(admin, f"{path}/rename", thread_name=""))
    refused = admin.send(f"{path}/delete", confirm="T")
    assert refused.status_code == 422
    assert "nothing was deleted" in refused.text
    assert re.search(r'name="confirm"[^>]* value="T" aria-invalid="true"', refused.text)
    assert '<details class="card" open><summary>Rename or delete' in refused.text
    taken = admin.send(f"{path}/fork", checkpoint="1", to_thread="t", repeat="f" * 32, where="new")
    assert taken.status_code == 409
    assert re.search(r'name="to_thread"[^>]* value="t"', taken.text)
    assert sent(admin, f"{path}/delete", confirm="t") == "/console/threads"
    assert "The thread t was deleted." in admin.see("/console/threads")
    admin.see(path, status=404)


def test_who_may_only_read_sees_no_buttons(reader: Visitor, client: httpx.Client) -> None:
    """And is refused nicely where a form is sent all the same."""
    run(client, "My name is Alex.", "t")
    page = reader.see("/console/threads/t")
    assert page.count("<form") == 1  # to sign out
    assert "My name is Alex." in page
    forms: dict[str, dict[str, Any]] = {
        "fork": {"checkpoint": 1, "repeat": "d" * 32},
        "continue": {"checkpoint": 1, "repeat": "d" * 32, "text": "x"},
        "answer": {"interrupt_id": "x", "answer": "x", "repeat": "d" * 32},
        "rename": {"thread_name": "x"},
        "delete": {"confirm": "t"},
    }
    for path, fields in forms.items():
        refused = reader.send(f"/console/threads/t/{path}", **fields)
        assert refused.status_code == 403, path
        assert "Not allowed" in refused.text
    assert reader.client.post("/console/threads/t/rename", data={"thread_name": "x"}).status_code == 403
    assert client.get("/v1/threads/t").json()["data"]["thread_data"]["thread"]["thread_name"] is None


def test_another_tenants_thread_is_missing(api: Api, admin: Visitor, tenant: TenantKey) -> None:
    """As one that does not exist, wherever its id is put."""
    with api.client(api.tenant()) as other:
        run(other, "My secret is canary.", "theirs")
    page = admin.see("/console/threads/theirs", status=404)
    assert "canary" not in page
    same = admin.see("/console/threads/nobody", status=404)
    assert re.sub(r"<code>[^<]+</code>", "", page) == re.sub(r"<code>[^<]+</code>", "", same)
    assert ids_on(admin.see("/console/threads", text="canary")) == []
    assert "canary" not in admin.see("/console/chat", thread="theirs")
    assert admin.send("/console/threads/theirs/delete", confirm="theirs").status_code == 404


@pytest.mark.parametrize("path", ["", "?at=2", "?at=1"])
def test_what_users_write_is_text(admin: Visitor, client: httpx.Client, path: str) -> None:
    """Wherever it is shown: id, name, user, metadata, message and field."""
    thread_id = "<b>é{u}"
    said = f"My {EVIL} is {EVIL}."
    run(client, said, thread_id, thread_name=EVIL, thread_metadata={EVIL: EVIL})
    client.put(
        "/v1/threads/%3Cb%3E%C3%A9%7Bu%7D/state", json={"state": {"facts": {EVIL: EVIL}}}
    ).raise_for_status()
    for page in (
        admin.see("/console/home"),
        admin.see("/console/threads", text=EVIL),
        admin.see(f"/console/threads/%3Cb%3E%C3%A9%7Bu%7D{path}"),
        admin.see("/console/chat", thread=thread_id),
    ):
        assert "<script>" not in page
        assert "<img src=x" not in page
        assert "<b>" not in page
        assert "evil" in page


def test_a_list_of_long_names_is_light(admin: Visitor, client: httpx.Client) -> None:
    """A page's weight does not grow with the tenant: so many threads, and texts as long as they may be."""
    for number in range(26):
        run(client, "x", f"{number:02}" + "i" * 253, agent="echo", thread_name="n" * 255)
    assert len(admin.see("/console/threads").encode()) < 150_000
