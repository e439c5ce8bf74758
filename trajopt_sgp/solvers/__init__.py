"""Solvers: nonlinear program to solution, one file per solver."""

from trajopt_sgp.solvers.annealing import AdaptiveAnnealing as AdaptiveAnnealing
from trajopt_sgp.solvers.cem import CEM as CEM
from trajopt_sgp.solvers.check import check_solver as check_solver
from trajopt_sgp.solvers.ddp import DDP as DDP
from trajopt_sgp.solvers.fatrop import Fatrop as Fatrop
from trajopt_sgp.solvers.gradient_descent import GradientDescent as GradientDescent
from trajopt_sgp.solvers.guess import line_guess as line_guess
from trajopt_sgp.solvers.guess import random_guesses as random_guesses
from trajopt_sgp.solvers.guess import rollout as rollout
from trajopt_sgp.solvers.ipopt import Ipopt as Ipopt
from trajopt_sgp.solvers.lbfgs import LBFGS as LBFGS
from trajopt_sgp.solvers.mesh import MeshRefinement as MeshRefinement
from trajopt_sgp.solvers.mesh import refine_mesh as refine_mesh
from trajopt_sgp.solvers.mppi import MPPI as MPPI
from trajopt_sgp.solvers.process_pool import solve_in_processes as solve_in_processes
from trajopt_sgp.solvers.scipy import Scipy as Scipy
from trajopt_sgp.solvers.solve import PreparedSolve as PreparedSolve
from trajopt_sgp.solvers.solve import prepare as prepare
from trajopt_sgp.solvers.solve import solve as solve
from trajopt_sgp.solvers.solve import solve_batch as solve_batch
from trajopt_sgp.solvers.sqp import SQP as SQP
