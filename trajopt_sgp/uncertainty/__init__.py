"""Uncertainty: the distance to data as a cost and as a constraint."""

from trajopt_sgp.uncertainty.data_distance import DataDistance as DataDistance
from trajopt_sgp.uncertainty.data_distance import GeometricSchedule as GeometricSchedule
