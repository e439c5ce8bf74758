"""Resumable studies: cells, where they are kept, and where they are computed."""

from trajopt_sgp.studies.runner.backend import Backend as Backend
from trajopt_sgp.studies.runner.backend import Serial as Serial
from trajopt_sgp.studies.runner.cell import CellContext as CellContext
from trajopt_sgp.studies.runner.cell import CellInput as CellInput
from trajopt_sgp.studies.runner.cell import StudyCell as StudyCell
from trajopt_sgp.studies.runner.process_pool import ProcessPool as ProcessPool
from trajopt_sgp.studies.runner.ray_cluster import RayCluster as RayCluster
from trajopt_sgp.studies.runner.run import run_cells as run_cells
from trajopt_sgp.studies.runner.store import CellRecord as CellRecord
from trajopt_sgp.studies.runner.store import CellStore as CellStore
