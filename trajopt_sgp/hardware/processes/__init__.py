"""The processes of a run: simulator, tracker and planner; `python -m trajopt_sgp.hardware.processes` starts one."""
