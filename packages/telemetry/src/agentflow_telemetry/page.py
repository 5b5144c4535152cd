"""Metrics as text, of one process or of several on one page."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_END: Final = "# EOF\n"
_FAMILY: Final = re.compile(r"^(?=# HELP )", re.MULTILINE)


class OfProcess(Collector):
    """What another collector tells, with the number of the process at every line."""

    def __init__(self, told: Collector, process: int) -> None:
        self._told = told
        self._process = str(process)

    def collect(self) -> Iterable[Metric]:
        """See there."""
        for family in self._told.collect():
            mine = {"process": self._process}
            family.samples = [sample._replace(labels={**sample.labels, **mine}) for sample in family.samples]
            yield family


def rendered(told: Collector, accept: str) -> str:
    """The text of what a collector tells, in the form that whoever asks takes."""
    encode, _ = choose_encoder(accept)
    text: str = encode(told).decode()
    return text


def type_of(accept: str) -> str:
    """The media type of that form."""
    media_type: str = choose_encoder(accept)[1]
    return media_type


def joined(pages: Iterable[str]) -> str:
    """One page of several, of the same form: the lines of a family must stand together."""
    families: dict[str, list[str]] = {}
    ends = False
    for page in pages:
        ends = ends or page.endswith(_END)
        for family in _FAMILY.split(page.removesuffix(_END)):
            head, lines = _parted(family)
            families.setdefault(head, []).append(lines)
    return "".join(head + "".join(lines) for head, lines in families.items()) + (_END if ends else "")


def packed(text: str) -> bytes:
    """The text as gzip: a tenth of it or less, since lines are alike."""
    return gzip.compress(text.encode(), 1)


def _parted(family: str) -> tuple[str, str]:
    """Its comments, and its lines."""
    at = 0
    while family.startswith("#", at):
        at = family.index("\n", at) + 1
    return family[:at], family[at:]
