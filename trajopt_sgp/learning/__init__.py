"""Learning: one trainer, one loss per model, training that resumes to the same bytes."""

from trajopt_sgp.learning.learned_distance import train_learned_distance as train_learned_distance
from trajopt_sgp.learning.losses import denoising_loss as denoising_loss
from trajopt_sgp.learning.losses import distance_loss as distance_loss
from trajopt_sgp.learning.losses import dynamics_loss as dynamics_loss
from trajopt_sgp.learning.losses import ensemble_loss as ensemble_loss
from trajopt_sgp.learning.settings import DynamicsSettings as DynamicsSettings
from trajopt_sgp.learning.settings import EnergySettings as EnergySettings
from trajopt_sgp.learning.settings import EnsembleSettings as EnsembleSettings
from trajopt_sgp.learning.settings import LearnedDistanceSettings as LearnedDistanceSettings
from trajopt_sgp.learning.settings import ScoreSettings as ScoreSettings
from trajopt_sgp.learning.settings import TrainingSettings as TrainingSettings
from trajopt_sgp.learning.train import MODEL_FILE as MODEL_FILE
from trajopt_sgp.learning.train import train_dynamics as train_dynamics
from trajopt_sgp.learning.train import train_energy as train_energy
from trajopt_sgp.learning.train import train_ensemble as train_ensemble
from trajopt_sgp.learning.train import train_score as train_score
from trajopt_sgp.learning.train import training_split as training_split
from trajopt_sgp.learning.trainer import TrainingResult as TrainingResult
