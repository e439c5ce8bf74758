"""Models: networks, learned dynamics, score and energy networks, their files, and integrators."""

from trajopt_sgp.models.architectures import ARCHITECTURES as ARCHITECTURES
from trajopt_sgp.models.base import TransitionModel as TransitionModel
from trajopt_sgp.models.base import check_same_data as check_same_data
from trajopt_sgp.models.base import fit_normalizer as fit_normalizer
from trajopt_sgp.models.calibration import Calibration as Calibration
from trajopt_sgp.models.denoiser import Denoiser as Denoiser
from trajopt_sgp.models.dynamics import LearnedDynamics as LearnedDynamics
from trajopt_sgp.models.energy import EnergyNetwork as EnergyNetwork
from trajopt_sgp.models.ensemble import EnsembleDynamics as EnsembleDynamics
from trajopt_sgp.models.learned_distance import LearnedDistance as LearnedDistance
from trajopt_sgp.models.level_embedding import LevelEmbeddingMLP as LevelEmbeddingMLP
from trajopt_sgp.models.model_file import load_model as load_model
from trajopt_sgp.models.model_file import load_model_as as load_model_as
from trajopt_sgp.models.model_file import save_model as save_model
from trajopt_sgp.models.networks import ACTIVATIONS as ACTIVATIONS
from trajopt_sgp.models.networks import MLP as MLP
from trajopt_sgp.models.policies import NeuralPolicy as NeuralPolicy
from trajopt_sgp.models.policies import OpenLoop as OpenLoop
from trajopt_sgp.models.policies import Policy as Policy
from trajopt_sgp.models.policies import TimeVaryingAffine as TimeVaryingAffine
from trajopt_sgp.models.residual_mlp import ResidualMLP as ResidualMLP
from trajopt_sgp.models.score import ScoreNetwork as ScoreNetwork
from trajopt_sgp.models.trained_policy import TrainedPolicy as TrainedPolicy
from trajopt_sgp.models.trained_policy import load_policy as load_policy
