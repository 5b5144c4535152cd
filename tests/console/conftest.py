from collections.abc import Iterator

import pytest

from tests.support.api import Api
from tests.support.console import Visitor, visitor


@pytest.fixture
def anybody(api: Api) -> Iterator[Visitor]:
    """A browser that is not signed in."""
    with visitor(api.base_url) as one:
        yield one


@pytest.fixture
def operator(api: Api) -> Iterator[Visitor]:
    """A browser that is signed in with the operator's token."""
    with visitor(api.base_url) as one:
        assert one.sign_in(api.operator_token).status_code == 303
        yield one
