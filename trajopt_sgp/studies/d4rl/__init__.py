"""Score-guided planning for rewards, over many environments at once."""

from trajopt_sgp.studies.d4rl.planner import PlannerModels as PlannerModels
from trajopt_sgp.studies.d4rl.planner import PlannerSettings as PlannerSettings
from trajopt_sgp.studies.d4rl.planner import RewardPlanner as RewardPlanner
