"""Figures, animations and the report; drawn in memory, without a display."""

from trajopt_sgp.viz.animation import animate_cartpole as animate_cartpole
from trajopt_sgp.viz.comparison_plots import plot_comparison as plot_comparison
from trajopt_sgp.viz.cost_plots import plot_cost_by_iteration as plot_cost_by_iteration
from trajopt_sgp.viz.cost_plots import plot_predicted_against_true as plot_predicted_against_true
from trajopt_sgp.viz.learning_plots import plot_gradient_errors as plot_gradient_errors
from trajopt_sgp.viz.learning_plots import plot_training_curves as plot_training_curves
from trajopt_sgp.viz.mpc_plots import plot_mpc as plot_mpc
from trajopt_sgp.viz.path_plots import Paths as Paths
from trajopt_sgp.viz.path_plots import plot_paths as plot_paths
from trajopt_sgp.viz.plan_plots import PlanView as PlanView
from trajopt_sgp.viz.plan_plots import plot_data_distance as plot_data_distance
from trajopt_sgp.viz.plan_plots import plot_plan_against_truth as plot_plan_against_truth
from trajopt_sgp.viz.report import Column as Column
from trajopt_sgp.viz.report import Picture as Picture
from trajopt_sgp.viz.report import Section as Section
from trajopt_sgp.viz.report import Table as Table
from trajopt_sgp.viz.report import write_report as write_report
from trajopt_sgp.viz.score_field_plots import ScoreField as ScoreField
from trajopt_sgp.viz.score_field_plots import draw_score_fields as draw_score_fields
from trajopt_sgp.viz.score_field_plots import plot_score_field as plot_score_field
from trajopt_sgp.viz.score_field_plots import sample_score_field as sample_score_field
from trajopt_sgp.viz.solution_plots import plot_solution as plot_solution
from trajopt_sgp.viz.style import CARTPOLE_UNITS as CARTPOLE_UNITS
from trajopt_sgp.viz.style import save_figure as save_figure
