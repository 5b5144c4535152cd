"""Which tenants metrics name: the busiest, for long; all others are one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

OTHER: Final = "__other__"

# An outsider takes the place of a named tenant that is this many times less busy, and not sooner: a name that
# comes and goes is a line in pieces.
_BUSIER: Final = 2.0
# At each choice what was counted before is worth half.
_FADES: Final = 0.5
_FORGOTTEN_BELOW: Final = 0.5
_MOST_COUNTED: Final = 10_000


class NamedTenants:
    """The tenants that this process names, and the requests of those that it might name.

    While there is room whoever comes is named at once, so that nothing is lost before anybody looks.
    Not safe for several threads at once: who uses it has a lock.

    Attributes:
        names: Tenants' ids; in front those whose times are told, too.
        revision: Grows with each choice; 0 before the first.
    """

    def __init__(self, most: int, most_timed: int) -> None:
        """None is named yet.

        Args:
            most: To be named.
            most_timed: Of them, those whose times are told by name.
        """
        self.most = most
        self.most_timed = most_timed
        self.names: list[str] = []
        self.revision = 0
        self._named: set[str] = set()
        self._timed: set[str] = set()
        self._requests: dict[str, float] = {}

    def name_of(self, tenant_id: str) -> str:
        """Its id when it is named, else what stands for all others."""
        if tenant_id in self._named:
            return tenant_id
        if len(self.names) < self.most:
            self._set([*self.names, tenant_id])
            return tenant_id
        return OTHER

    def timed_name_of(self, tenant_id: str) -> str:
        """The same, where times are told."""
        return tenant_id if self.name_of(tenant_id) in self._timed else OTHER

    def count(self, tenant_id: str) -> None:
        """Take note of a request of it."""
        requests = self._requests
        if tenant_id in requests or len(requests) < _MOST_COUNTED:
            requests[tenant_id] = requests.get(tenant_id, 0.0) + 1.0

    def requests(self) -> dict[str, float]:
        """Requests of each, recent ones counting most."""
        return dict(self._requests)

    def adopt(self, names: Sequence[str], revision: int) -> bool:
        """Name these from now on; whether others were named before. What was counted fades."""
        faded = ((tenant_id, count * _FADES) for tenant_id, count in self._requests.items())
        self._requests = {tenant_id: count for tenant_id, count in faded if count >= _FORGOTTEN_BELOW}
        before = self._named, self._timed
        self._set(names)
        self.revision = revision
        return (self._named, self._timed) != before

    def told(self) -> tuple[set[str], set[str]]:
        """Values of the tenants' label where spans are counted, and where they are timed."""
        return {*self._named, OTHER}, {*self._timed, OTHER}

    def choose(self, named: Sequence[str], requests: Mapping[str, float]) -> list[str]:
        """Who is to be named, when these are and had so many requests: the timed in front."""
        timed = chosen(named[: self.most_timed], requests, self.most_timed)
        others = {tenant_id: count for tenant_id, count in requests.items() if tenant_id not in timed}
        left = [tenant_id for tenant_id in named if tenant_id not in timed]
        return timed + chosen(left, others, self.most - self.most_timed)

    def _set(self, names: Sequence[str]) -> None:
        self.names, self._named = list(names), set(names)
        self._timed = set(names[: self.most_timed])


def chosen(named: Iterable[str], requests: Mapping[str, float], most: int) -> list[str]:
    """Who has a place.

    Args:
        named: Those that have one.
        requests: Of every tenant that had any lately.
        most: Places.

    Returns:
        Those that have one, but for each that an outsider is clearly busier than; and others, while there
        is room.
    """
    kept = list(dict.fromkeys(named))[:most]
    there = set(kept)
    outside = sorted((t for t in requests if t not in there), key=lambda t: (-requests[t], t))
    for tenant_id in outside if most else ():
        if len(kept) < most:
            kept.append(tenant_id)
            continue
        least = min(kept, key=lambda t: requests.get(t, 0.0))
        if requests[tenant_id] <= _BUSIER * max(1.0, requests.get(least, 0.0)):
            break
        kept[kept.index(least)] = tenant_id
    return kept
