"""The command line `trajopt-sgp`: signatures and help in `commands`, the work in `jobs`, which alone import torch."""
