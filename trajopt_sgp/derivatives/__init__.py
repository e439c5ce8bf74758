"""Derivatives of stage terms, in batches and assembled into sparse matrices."""
