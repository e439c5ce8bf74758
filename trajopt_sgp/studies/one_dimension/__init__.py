"""Toys in one dimension, where every uncertainty can be seen whole: admissibility, likelihoods, a uniform density."""
