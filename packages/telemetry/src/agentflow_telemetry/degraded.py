"""The gauge that says what a process does without: 1 while it is degraded, else 0, for each of its modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from agentflow_telemetry import names


class DegradedGauge:
    """Told to whoever set a meter provider; nobody else pays for it."""

    def __init__(self, modes: Mapping[str, Callable[[], bool]], *, meter: Meter | None = None) -> None:
        """Observe from now on.

        Args:
            modes: By name: whether it is degraded now. Asked by whoever collects, from any thread.
            meter: The process's when None.
        """
        self._modes = dict(modes)
        (meter or get_meter("agentflow")).create_observable_gauge(
            names.DEGRADED,
            callbacks=[self._observed],
            description="1 while a part of the service is away and answers come without it.",
        )

    def close(self) -> None:
        """Observe nothing any more; what the modes ask may be closed then."""
        self._modes = {}

    def _observed(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(asked()), {names.MODE: mode}) for mode, asked in self._modes.items()]
