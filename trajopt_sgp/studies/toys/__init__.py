"""Planar toys: plans around a hole and a corner, what every uncertainty reads in the hole, and a circle."""
