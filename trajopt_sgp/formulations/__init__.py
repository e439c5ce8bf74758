"""Formulations: problem to nonlinear program, and its solution back to a trajectory."""

from trajopt_sgp.formulations.direct_transcription import DirectTranscription as DirectTranscription
from trajopt_sgp.formulations.program import Formulation as Formulation
from trajopt_sgp.formulations.program import NonlinearProgram as NonlinearProgram
from trajopt_sgp.formulations.single_shooting import SingleShooting as SingleShooting
