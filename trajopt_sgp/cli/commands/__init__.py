"""Signatures and help of the commands; they import nothing heavy until they run."""
