"""`python -m trajopt_sgp.hardware.processes simulator|tracker|planner SETTINGS [LOG]`."""

import sys
from pathlib import Path

from trajopt_sgp.hardware.settings import read_settings


def main(role: str, settings_file: Path | None, log: Path | None = None) -> str:
    """Run one process until it ends, and return why it did."""
    settings = read_settings(settings_file)
    if role == "tracker":
        from trajopt_sgp.hardware.tracker.process import Tracker, prefer

        tracker = Tracker(settings, log)
        prefer(settings.priority)
        return tracker.run()
    if role == "planner":
        from trajopt_sgp.hardware.processes.planner import Planner

        return Planner(settings).run()
    from trajopt_sgp.hardware.processes.simulator import Simulator

    return Simulator(settings).run()


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
