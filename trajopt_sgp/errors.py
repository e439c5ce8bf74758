"""Errors that a user can cause. Numerical failure is never one of them: it comes back as a `Status`."""


class TrajoptError(Exception):
    """Base of every error this library raises on purpose; its text is a sentence for the user."""


class ShapeError(TrajoptError):
    """An array, tensor or function result has the wrong shape."""


class NotFiniteError(TrajoptError):
    """NaN or infinity where data, a guess or a cost enters."""


class OptionError(TrajoptError):
    """An unknown or invalid option, name or value."""


class IncompatibleError(TrajoptError):
    """Parts that are valid alone do not work together (formulation and solver, model and dataset)."""


class DatasetError(TrajoptError):
    """A dataset is missing, damaged or of a kind that cannot be used."""


class FileError(TrajoptError):
    """A file is missing, damaged or holds something else, or it cannot be written; the text names it."""


class ModelFileError(FileError):
    """A file of a model, a policy, a certificate or a checkpoint."""


class PlanFileError(FileError):
    """A file of a trajectory, a feedback along one, or a warm start."""


class ConformanceError(TrajoptError):
    """A part breaks a promise of its interface; raised by the conformance checkers, names the fault."""


class MessageError(TrajoptError):
    """A received packet is not a message that may be used; `cause` says why in one word."""

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class HardwareError(TrajoptError):
    """A robot, a bus or a process on it cannot be reached, or is in a state in which the request is refused."""
