"""A scripted service, and a client of either face for it."""

from collections.abc import Iterator

import pytest

from tests.support.client_faces import FACES, Face, opened
from tests.support.scripted_api import ScriptedApi


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as scripted:
        yield scripted


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, api: ScriptedApi) -> Iterator[Face]:
    with opened(request.param, api.base_url) as made:
        yield made
