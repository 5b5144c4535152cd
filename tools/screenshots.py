"""Pictures of the console of a running `make run`, for docs/console: desktop and phone, light and dark."""

import json
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "console"
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
# name, who looks (a field of dev.json), page, window, dark
SHOTS = (
    ("tenants-light", "operator_token", "/console/tenants", DESKTOP, False),
    ("tenant-dark", "operator_token", "/console/tenants/{tenant}", DESKTOP, True),
    ("placement-light", "operator_token", "/console/placement", DESKTOP, False),
    ("health-phone-dark", "operator_token", "/console/health", PHONE, True),
    ("home-light", "api_key", "/console/home", DESKTOP, False),
    ("thread-dark", "api_key", "/console/threads/{thread}", DESKTOP, True),
    ("usage-light", "api_key", "/console/usage", DESKTOP, False),
    ("threads-phone-light", "api_key", "/console/threads", PHONE, False),
)


def main() -> int:
    """Take all of them. The thread is the first argument, `user-42` if there is none."""
    state = Path(os.environ.get("AGENTFLOW_STATE_DIR") or ROOT / ".agentflow")
    found = shutil.which("chromium")
    if found is None:
        print("chromium is missing: apt-get install --no-install-recommends chromium", file=sys.stderr)
        return 1
    dev = json.loads((state / "dev.json").read_text(encoding="utf-8"))
    dev["thread"] = sys.argv[1] if len(sys.argv) > 1 else "user-42"
    FOLDER.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        for name, who, path, window, dark in SHOTS:
            _shoot(browser, dev, name, (dev[who], path.format(**dev)), window, dark=dark)
        browser.close()
    return 0


def _shoot(
    browser: Browser,
    dev: dict[str, str],
    name: str,
    look: tuple[str, str],
    window: dict[str, int],
    *,
    dark: bool,
) -> None:
    credential, path = look
    scheme = "dark" if dark else "light"
    context = browser.new_context(base_url=dev["base_url"], viewport=window, color_scheme=scheme)  # type: ignore[arg-type]  # theirs is a typed dict
    page = context.new_page()
    page.goto("/console/sign-in")
    page.fill("#credential", credential)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.goto(path)
    page.screenshot(path=FOLDER / f"{name}.png")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
