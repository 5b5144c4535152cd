"""All of a tenant's pages."""

from typing import Any, Final

from agentflow_api.console.tenant.chat import CHAT_PAGES
from agentflow_api.console.tenant.exports import EXPORTS_PAGES
from agentflow_api.console.tenant.home import home
from agentflow_api.console.tenant.keys import KEYS_PAGES
from agentflow_api.console.tenant.threads.actions import THREADS_FORMS
from agentflow_api.console.tenant.threads.routes import THREADS_PAGES
from agentflow_api.console.tenant.usage.routes import show_usage

TENANTS_PAGES: Final[list[Any]] = [
    home,
    *THREADS_PAGES,
    *THREADS_FORMS,
    *CHAT_PAGES,
    *KEYS_PAGES,
    show_usage,
    *EXPORTS_PAGES,
]
