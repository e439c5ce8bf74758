"""Random goals for the box between the real processes: tasks, runs, and what their logs say of them."""

from trajopt_sgp.hardware.goals.outcome import GoalOutcome as GoalOutcome
from trajopt_sgp.hardware.goals.outcome import judge_goal as judge_goal
from trajopt_sgp.hardware.goals.run import run_goal as run_goal
from trajopt_sgp.hardware.goals.series import GoalRecord as GoalRecord
from trajopt_sgp.hardware.goals.series import run_series as run_series
from trajopt_sgp.hardware.goals.tasks import GoalTask as GoalTask
from trajopt_sgp.hardware.goals.tasks import draw_tasks as draw_tasks
