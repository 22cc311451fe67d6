"""The energy counters of a machine's CPU packages (RAPL), as Linux shows them."""

from __future__ import annotations

from pathlib import Path

from methods import Unsupported

ROOT = Path("/sys/class/powercap")


class Packages:
    """The sum over packages. Their parts (cores, memory) and the whole platform are zones of their own and left out."""

    def __init__(self, root: Path = ROOT):
        """Raises `methods.Unsupported` where there is no counter or it may not be read, as for all but root on most systems."""
        self.zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _read(zone / "name").startswith("package")]
        if not self.zones:
            raise Unsupported(f"no energy counter of a CPU package in {root}")
        self.ranges = [int(_read(zone / "max_energy_range_uj")) for zone in self.zones]
        self.last = self._raw()
        self.sum = 0

    def joules(self) -> float:
        """Since the first look. A counter that has wrapped around, once since the last look, is followed."""
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
