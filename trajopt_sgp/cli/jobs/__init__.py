"""The work behind each command: a request in, a report out."""
