"""Uncertainty: the distance to data as a cost and as a constraint, its closed form, and how plans amplify errors."""

from trajopt_sgp.uncertainty.amplification import error_amplification as error_amplification
from trajopt_sgp.uncertainty.data_distance import DataDistance as DataDistance
from trajopt_sgp.uncertainty.data_distance import GeometricSchedule as GeometricSchedule
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance as ExactSmoothedDistance
from trajopt_sgp.uncertainty.protocols import GradientModel as GradientModel
from trajopt_sgp.uncertainty.protocols import ValueModel as ValueModel
from trajopt_sgp.uncertainty.validation import gradient_error as gradient_error
