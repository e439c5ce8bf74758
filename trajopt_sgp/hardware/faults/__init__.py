"""Faults on the real processes, judged on the stream of commands alone."""

from trajopt_sgp.hardware.faults.catalogue import FAULTS as FAULTS
from trajopt_sgp.hardware.faults.judge import FaultRecord as FaultRecord
from trajopt_sgp.hardware.faults.judge import judge as judge
from trajopt_sgp.hardware.faults.suite import run_fault as run_fault
