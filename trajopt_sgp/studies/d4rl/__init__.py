"""Score-guided planning for rewards, over many environments at once."""

from trajopt_sgp.studies.d4rl.models import Penalty as Penalty
from trajopt_sgp.studies.d4rl.models import PlannerModels as PlannerModels
from trajopt_sgp.studies.d4rl.models import distance_penalty as distance_penalty
from trajopt_sgp.studies.d4rl.models import ensemble_penalty as ensemble_penalty
from trajopt_sgp.studies.d4rl.models import score_penalty as score_penalty
from trajopt_sgp.studies.d4rl.planner import PlannerSettings as PlannerSettings
from trajopt_sgp.studies.d4rl.planner import RewardPlanner as RewardPlanner
from trajopt_sgp.studies.d4rl.search import GradientSearch as GradientSearch
from trajopt_sgp.studies.d4rl.search import SamplingSearch as SamplingSearch
