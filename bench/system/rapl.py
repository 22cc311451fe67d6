"""Read the energy counters of the CPU packages (RAPL) from Linux's powercap interface."""

from __future__ import annotations

from pathlib import Path

from methods import Unsupported

ROOT = Path("/sys/class/powercap")


class Packages:
    """The sum over packages. The separate zones of cores, memory and platform are ignored, to count nothing twice."""

    def __init__(self, root: Path = ROOT):
        """Raise `methods.Unsupported` if there is no readable counter. On most systems only root may read it."""
        self.zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _read(zone / "name").startswith("package")]
        if not self.zones:
            raise Unsupported(f"no energy counter of a CPU package in {root}")
        self.ranges = [int(_read(zone / "max_energy_range_uj")) for zone in self.zones]
        self.last = self._raw()
        self.sum = 0

    def joules(self) -> float:
        """Return the joules since this object was created. One wrap-around of a counter between two calls is corrected."""
        now = self._raw()
        self.sum += sum((new - old) % (most + 1) for new, old, most in zip(now, self.last, self.ranges))
        self.last = now
        return self.sum / 1e6

    def _raw(self) -> list[int]:
        return [int(_read(zone / "energy_uj")) for zone in self.zones]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Unsupported(f"energy counter not readable: {error}") from error
