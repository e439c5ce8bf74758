"""Closed-form first and second derivatives of traced torch functions, all instances at once, in matrix products."""

from trajopt_sgp.derivatives.traced.blocks import TracedBlocks as TracedBlocks
