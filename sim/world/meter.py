"""What infrastructure was paid for: hours of nodes by region and of pods by service."""

from sim.world.context import Context


class Meter:
    """Integrals of counts over time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count: dict[tuple[str, str], float] = {}
        self._since_s: dict[tuple[str, str], float] = {}
        self._hours: dict[tuple[str, str], float] = {}

    def set(self, kind: str, name: str, count: float) -> None:
        """From now on `count` of them run."""
        self._add_up((kind, name), self._context.now_s)
        self._count[kind, name] = count

    def hours(self, kind: str, until_s: float) -> dict[str, float]:
        """Hours until `until_s` (the horizon: nothing happens after the last event, and it costs), by name."""
        for key in self._count:
            self._add_up(key, until_s)
        return {name: hours for (k, name), hours in self._hours.items() if k == kind}

    def _add_up(self, key: tuple[str, str], now_s: float) -> None:
        passed_s = now_s - self._since_s.get(key, now_s)
        self._hours[key] = self._hours.get(key, 0.0) + self._count.get(key, 0.0) * passed_s / 3600.0
        self._since_s[key] = now_s
