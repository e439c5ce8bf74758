"""Formulations: optimal control problem to nonlinear program, and its solution back to a trajectory."""

from trajopt_sgp.formulations.base import Formulation as Formulation
from trajopt_sgp.formulations.check import check_formulation as check_formulation
from trajopt_sgp.formulations.collocation import HermiteSimpson as HermiteSimpson
from trajopt_sgp.formulations.collocation import OrthogonalCollocation as OrthogonalCollocation
from trajopt_sgp.formulations.collocation import TrapezoidalCollocation as TrapezoidalCollocation
from trajopt_sgp.formulations.direct_transcription import DirectTranscription as DirectTranscription
from trajopt_sgp.formulations.evaluation import Evaluation as Evaluation
from trajopt_sgp.formulations.policy_search import PolicySearch as PolicySearch
from trajopt_sgp.formulations.program import NonlinearProgram as NonlinearProgram
from trajopt_sgp.formulations.score_transcription import ScoreTranscription as ScoreTranscription
from trajopt_sgp.formulations.shooting import MultipleShooting as MultipleShooting
from trajopt_sgp.formulations.shooting import SingleShooting as SingleShooting
