"""Pictures of the console of a running `make run`, for docs/console: desktop and phone, light and dark.

What there is to see is made first: use a state folder of its own (`AGENTFLOW_STATE_DIR`).
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "console"
WINDOWS = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
# Who looks (a field of dev.json), and at which pages; what is in braces is made below.
PAGES = {
    "operator_token": {
        "tenants": "/console/tenants",
        "tenant": "/console/tenants/acme",
        "placement": "/console/placement",
        "move": "/console/operations/{move}",
        "offboarding": "/console/offboardings/{leaving}",
        "receipt": "/console/receipts/{receipt}",
        "audit": "/console/audit",
        "health": "/console/health",
    },
    "api_key": {
        "home": "/console/home",
        "threads": "/console/threads",
        "thread": "/console/threads/user-42",
        "chat": "/console/chat?thread=user-42",
        "usage": "/console/usage",
    },
}
TENANTS = ("acme", "globex", "initech", "umbrella", "hooli")
TALKS = {
    "user-42": ("My name is Alex.", "I live in Lisbon.", "What's my name?", "Where do I live?"),
    "user-7": ("My order is number 4711.", "What's my order?"),
    "user-19": ("I like long walks.", "My dog is Rex.", "Who am I?"),
    "support-3": ("My invoice is missing.", "What is my invoice?"),
}
_COLOURS = 256


def main() -> int:
    """Make what there is to see, and take all of them."""
    found = shutil.which("chromium")
    if found is None:
        print("chromium is missing: apt-get install --no-install-recommends chromium", file=sys.stderr)
        return 1
    state = Path(os.environ.get("AGENTFLOW_STATE_DIR") or ROOT / ".agentflow")
    dev = json.loads((state / "dev.json").read_text(encoding="utf-8"))
    made = _make(dev)
    FOLDER.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        for window in WINDOWS:
            for scheme in SCHEMES:
                _shoot(browser, dev, made, window, scheme)
        browser.close()
    return 0


def _shoot(browser: Browser, dev: dict[str, str], made: dict[str, str], window: str, scheme: str) -> None:
    for who, pages in PAGES.items():
        context = browser.new_context(
            base_url=dev["base_url"],
            viewport=WINDOWS[window],
            color_scheme=scheme,  # type: ignore[arg-type]  # theirs are typed dicts and literals
        )
        page = context.new_page()
        page.goto("/console/sign-in")
        page.fill("#credential", dev[who])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        for name, path in pages.items():
            page.goto(path.format(**made))
            page.get_by_text("It is looking").wait_for(state="hidden")  # the doctor, at its first visit
            picture = FOLDER / f"{name}-{window}-{scheme}.png"
            page.screenshot(path=picture)
            # A page has few colours: with a palette of them it is a third of the size, and looks the same.
            with Image.open(picture) as full:
                small = full.convert("RGB").quantize(
                    _COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
                )
            small.save(picture, optimize=True)
        context.close()


def _make(dev: dict[str, str]) -> dict[str, str]:
    """Conversations, tenants, one that moved and one that left."""
    with (
        _client(dev["base_url"], dev["api_key"]) as tenant,
        _client(dev["base_url"], dev["operator_token"]) as operator,
    ):
        for thread, words in TALKS.items():
            _talk(tenant, thread, words)
        keys = dict(_tenants(operator))
        for number, key in enumerate(keys.values()):
            with _client(dev["base_url"], key) as client:
                for talk in range(1 + 3 * number % 5):
                    _talk(client, f"customer-{talk}", TALKS["user-42"])
        where = {"placement": "dedicated", "reason": "largest of its partition"}
        move = _data(operator.post("/v1/admin/tenants/acme/placement", json=where))["operation"][
            "operation_id"
        ]
        gone = _data(operator.post("/v1/admin/tenants", json={"slug": f"gone-{int(time.time())}"}))
        with _client(dev["base_url"], gone["api_key"]) as client:
            _talk(client, "customer-1", TALKS["user-7"])
        path = f"/v1/admin/tenants/{gone['slug']}/offboarding"
        leaving = _data(operator.post(path, json={"grace_s": 0}))["offboarding"]["offboarding_id"]
        _until(operator, f"/v1/admin/operations/{move}", "done")
        left = _until(operator, f"/v1/admin/offboardings/{leaving}", "purged")
    return {"move": move, "leaving": leaving, "receipt": left["receipt_id"]}


def _tenants(operator: httpx.Client) -> Iterator[tuple[str, str]]:
    for slug in TENANTS:
        asked = {"slug": slug, "name": slug.capitalize(), "plan": "standard"}
        yield slug, _data(operator.post("/v1/admin/tenants", json=asked))["api_key"]


def _talk(client: httpx.Client, thread: str, words: tuple[str, ...]) -> None:
    for text in words:
        said = {"role": "user", "content": [{"type": "text", "text": text}]}
        config = {"thread_id": thread, "thread_name": words[0].rstrip(".")}
        _data(client.post("/v1/graph/invoke", json={"messages": [said], "config": config}))


def _client(base_url: str, credential: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {credential}"}
    return httpx.Client(base_url=base_url, headers=headers, timeout=60)


def _until(client: httpx.Client, path: str, state: str) -> Any:
    while (found := _data(client.get(path)))["state"] != state:
        time.sleep(0.1)
    return found


def _data(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json()["data"]


if __name__ == "__main__":
    sys.exit(main())
