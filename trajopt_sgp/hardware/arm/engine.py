"""MuJoCo, imported when an arm is made: states and features of robots are read without it."""

from types import ModuleType

from trajopt_sgp.errors import OptionError


def load_mujoco() -> ModuleType:
    """Return the module `mujoco`.

    Raises:
        OptionError: it is not installed.
    """
    try:
        import mujoco
    except ImportError as error:
        raise OptionError("The simulated arm needs MuJoCo: pip install 'trajopt_sgp[hardware]'.") from error
    return mujoco  # type: ignore[no-any-return]
