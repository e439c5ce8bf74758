"""The vocabulary: optimal control problem, its terms, trajectory, solution and status."""

from trajopt_sgp.problem.boundary import Box as Box
from trajopt_sgp.problem.constraints import BoundaryConstraint as BoundaryConstraint
from trajopt_sgp.problem.constraints import Constraint as Constraint
from trajopt_sgp.problem.constraints import ControlRateLimit as ControlRateLimit
from trajopt_sgp.problem.constraints import Penalty as Penalty
from trajopt_sgp.problem.constraints import StageConstraint as StageConstraint
from trajopt_sgp.problem.constraints import TerminalConstraint as TerminalConstraint
from trajopt_sgp.problem.dynamics import ContinuousDynamics as ContinuousDynamics
from trajopt_sgp.problem.dynamics import DiscreteDynamics as DiscreteDynamics
from trajopt_sgp.problem.dynamics import Dynamics as Dynamics
from trajopt_sgp.problem.optimal_control import OptimalControlProblem as OptimalControlProblem
from trajopt_sgp.problem.parameters import Parameters as Parameters
from trajopt_sgp.problem.parameters import TimeVarying as TimeVarying
from trajopt_sgp.problem.solution import KktResidual as KktResidual
from trajopt_sgp.problem.solution import Resimulation as Resimulation
from trajopt_sgp.problem.solution import Row as Row
from trajopt_sgp.problem.solution import Solution as Solution
from trajopt_sgp.problem.solution import Transcription as Transcription
from trajopt_sgp.problem.status import Status as Status
from trajopt_sgp.problem.terms import ControlRateCost as ControlRateCost
from trajopt_sgp.problem.terms import Face as Face
from trajopt_sgp.problem.terms import LeastSquaresCost as LeastSquaresCost
from trajopt_sgp.problem.terms import StageCost as StageCost
from trajopt_sgp.problem.terms import TerminalCost as TerminalCost
from trajopt_sgp.problem.time_grid import FreeTime as FreeTime
from trajopt_sgp.problem.trajectory import Trajectory as Trajectory
