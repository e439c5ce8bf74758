"""Uncertainty: the distance to data and its alternatives as cost and constraint, and how plans amplify errors.

Whatever draws takes a `generator`, by default one seeded with 0: of torch where tensors are drawn, of NumPy where
transitions are chosen or dealt into blocks. `langevin` alone adds no noise without one.
"""

from trajopt_sgp.uncertainty.accuracy import ScoreAccuracy as ScoreAccuracy
from trajopt_sgp.uncertainty.accuracy import score_accuracy as score_accuracy
from trajopt_sgp.uncertainty.amplification import error_amplification as error_amplification
from trajopt_sgp.uncertainty.certificate import ModelBiasCertificate as ModelBiasCertificate
from trajopt_sgp.uncertainty.certificate import PlanCalibration as PlanCalibration
from trajopt_sgp.uncertainty.certificate_file import load_certificate as load_certificate
from trajopt_sgp.uncertainty.certificate_file import save_certificate as save_certificate
from trajopt_sgp.uncertainty.check import check_score as check_score
from trajopt_sgp.uncertainty.data_distance import DataDistance as DataDistance
from trajopt_sgp.uncertainty.distance_error import DistanceError as DistanceError
from trajopt_sgp.uncertainty.distance_error import distance_error as distance_error
from trajopt_sgp.uncertainty.ensemble_cost import EnsembleCostVariance as EnsembleCostVariance
from trajopt_sgp.uncertainty.ensemble_cost import ensemble_problem as ensemble_problem
from trajopt_sgp.uncertainty.ensemble_variance import EnsembleVariance as EnsembleVariance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance as ExactSmoothedDistance
from trajopt_sgp.uncertainty.exact import SmoothedDerivatives as SmoothedDerivatives
from trajopt_sgp.uncertainty.gaussian_process import GaussianProcessVariance as GaussianProcessVariance
from trajopt_sgp.uncertainty.lengths import LengthRow as LengthRow
from trajopt_sgp.uncertainty.lengths import compare_lengths as compare_lengths
from trajopt_sgp.uncertainty.lengths import measure_calibration as measure_calibration
from trajopt_sgp.uncertainty.lipschitz import LipschitzEstimate as LipschitzEstimate
from trajopt_sgp.uncertainty.lipschitz import estimate_lipschitz as estimate_lipschitz
from trajopt_sgp.uncertainty.nearest import NearestDistance as NearestDistance
from trajopt_sgp.uncertainty.protocols import GradientModel as GradientModel
from trajopt_sgp.uncertainty.protocols import ValueModel as ValueModel
from trajopt_sgp.uncertainty.sampling import annealed_langevin as annealed_langevin
from trajopt_sgp.uncertainty.sampling import langevin as langevin
from trajopt_sgp.uncertainty.schedules import CosineSchedule as CosineSchedule
from trajopt_sgp.uncertainty.schedules import EdmSchedule as EdmSchedule
from trajopt_sgp.uncertainty.schedules import GeometricSchedule as GeometricSchedule
from trajopt_sgp.uncertainty.schedules import SigmaSchedule as SigmaSchedule
from trajopt_sgp.uncertainty.validation import gradient_error as gradient_error
