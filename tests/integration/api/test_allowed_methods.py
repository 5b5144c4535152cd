"""`Allow`: what a path takes, whoever asks and however."""

import httpx

from tests.support.api import Api


def said(answer: httpx.Response) -> set[str]:
    return {word.strip() for word in answer.headers["allow"].split(",")} - {"OPTIONS", "HEAD"}


def test_a_refused_method_is_told_which_there_are(api: Api) -> None:
    """On every path of the document, and behind the choice of an agent: 405 with those that it has."""
    document = httpx.get(f"{api.base_url}/openapi.json").json()
    with api.operator() as operator:  # whose paths tell nobody else
        for template, operations in document["paths"].items():
            path = template.replace("{seq}", "1").replace("{", "").replace("}", "")
            wanted = {method.upper() for method in operations}
            if path in ("/v1/threads/search", "/v1/threads/delete"):
                wanted |= {"GET", "PATCH", "DELETE"}  # of the thread that is called so
            for prefix in ("", "/a/echo"):
                refused = httpx.request("TRACE", api.base_url + prefix + path)
                assert refused.status_code == 405, path
                assert said(refused) == wanted, path
                asked = operator.options(prefix + path)
                assert asked.status_code == 204, path
                assert said(asked) == wanted, path


def test_what_is_not_there_takes_nothing(api: Api) -> None:
    """404, and no word of methods."""
    answer = httpx.request("TRACE", f"{api.base_url}/v1/nothing")
    assert answer.status_code == 404
    assert "allow" not in answer.headers
