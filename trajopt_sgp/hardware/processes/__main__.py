"""`python -m trajopt_sgp.hardware.processes simulator|tracker|planner SETTINGS [LOG] [--until-input-ends]`."""

import sys
from pathlib import Path

from trajopt_sgp.hardware.processes.lifeline import UNTIL_INPUT_ENDS, end_with_input
from trajopt_sgp.hardware.processes.scheduling import prefer
from trajopt_sgp.hardware.settings import read_settings


def main(role: str, settings_file: Path | None, log: Path | None = None) -> str:
    """Run one process until it ends, and return why it did."""
    settings = read_settings(settings_file)
    if role == "tracker":
        from trajopt_sgp.hardware.tracker.process import Tracker

        tracker = Tracker(settings, log)
        prefer(settings.priority)
        return tracker.run()
    if role == "planner":
        from trajopt_sgp.hardware.processes.planner import Planner

        planner = Planner(settings)
        prefer(settings.planner_priority)
        return planner.run()
    from trajopt_sgp.hardware.processes.simulator import Simulator

    simulator = Simulator(settings)
    prefer(settings.simulator_priority)
    return simulator.run()


if __name__ == "__main__":
    if UNTIL_INPUT_ENDS in sys.argv:
        sys.argv.remove(UNTIL_INPUT_ENDS)
        end_with_input()
    main(sys.argv[1], *map(Path, sys.argv[2:]))
