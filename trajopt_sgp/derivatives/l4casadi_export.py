"""A step of torch dynamics as compiled CasADi functions by l4casadi, for comparison and for shipping to C.

l4casadi computes in float32 whatever the precision of the model, and cannot give exact second derivatives of a network
that is called on its own output. Hence the whole step, integrator included, is one torch module, called once for all
knots. Letters: K knots, n states, m controls, d = n + m.
"""

import subprocess
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi
import torch
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.models.integrators import INTEGRATORS, check_stepping
from trajopt_sgp.options import check_counts
from trajopt_sgp.problem.dynamics import is_continuous, parameter_names
from trajopt_sgp.problem.precision import cast

_DOUBLE = (
    "The dynamics hold tensors of double precision, and l4casadi computes in single precision: make them buffers of a "
    "torch.nn.Module, or take their precision from the state, constant.to(state)."
)


@dataclass(frozen=True, eq=False)
class ExportedStep:
    """x' = f(x, u) at all knots at once, compiled; bound to the number of knots it was made for."""

    step: casadi.Function
    """Rows [x, u] `(K, d)` to rows x' `(K, n)`; differentiable by CasADi up to exact Hessians."""
    derivatives: casadi.Function
    """Rows [x, u] `(K, d)` and multipliers `(K, n)` to x' `(K, n)`, the Jacobian of vec(x') by vec([x, u])
    `(Kn, Kd)` and the Hessian of the sum of multipliers * x' `(Kd, Kd)`; vec stacks columns."""
    library: Path
    """The compiled library, which loads the exported networks beside it."""


@dataclass(frozen=True)
class ExportedC:
    """C code of a CasADi function, and what it needs."""

    source: Path
    """Plain C; its header stands beside it."""
    program: Path
    """Executable that evaluates the function on numbers from its standard input: `PROGRAM NAME < FILE`."""
    shared: Path
    """Library with the function and its derivatives for other programs to link."""
    link_flags: tuple[str, ...]
    """What a linker is told after the name of the source."""


def export_step(
    dynamics: Any,
    knots: int,
    folder: str | Path,
    *,
    name: str = "step",
    time_step: float | None = None,
    integrator: str = "rk4",
    substeps: int = 1,
) -> ExportedStep:
    """Compile a step of torch dynamics, discrete or continuous, for all knots at once.

    Everything that is generated goes to `folder`, which must stay where it is for as long as the functions are used.
    Compiling takes some seconds and needs a C++ compiler.

    Args:
        dynamics: of `state_size` n and `control_size` m, in torch operations that `torch.func` can differentiate.
        knots: K.
        folder: made if it does not exist.
        name: of the functions and files; another one for every step in one program.
        time_step: [s], for continuous dynamics only.
        integrator: for continuous dynamics: euler, midpoint or rk4.
        substeps: steps of the integrator in one time step.

    Raises:
        IncompatibleError: l4casadi is not installed; or the dynamics are written in CasADi, take parameters, or hold
            tensors of double precision that do not follow their arguments.
        OptionError: an unknown integrator, a time step missing or out of place, a name CasADi does not take, a folder
            whose path the compiler would split.
        ShapeError: the dynamics do not return `(K, n)`.
    """
    model = _step_module(dynamics, time_step, integrator, substeps)
    target = _checked_folder(folder, name, knots)
    width = model.state_size + model.control_size
    value = _single_value(model, torch.zeros(knots, width))
    if value.shape != (knots, model.state_size):
        raise ShapeError(f"The dynamics return shape {tuple(value.shape)}; it must be {(knots, model.state_size)}.")
    compiled = _l4casadi()(model, batched=True, name=name, build_dir=str(target))
    z = casadi.MX.sym("z", knots, width)
    # not inlined, CasADi would ask for derivatives by the adjoint seeds, which l4casadi does not have
    step = casadi.Function(f"{name}_value", [z], [compiled(z)], ["z"], ["value"], {"always_inline": True})
    return ExportedStep(step, _derivatives(step, name, z), target / f"lib{name}.so")


def write_c(function: casadi.Function, step: ExportedStep, folder: str | Path) -> ExportedC:
    """Generate C code of a CasADi function that calls an exported step, and compile it with gcc.

    The code calls the library of the step, which needs libtorch at run time; their folders are written into what is
    compiled.

    Raises:
        IncompatibleError: gcc is missing or refuses; says why.
        OptionError: a folder whose path the compiler would split.
    """
    target = _checked_folder(folder, function.name(), 1)
    generator = casadi.CodeGenerator(f"{function.name()}.c", {"main": True, "with_header": True})
    generator.add(function)
    generator.generate(f"{target}/")
    source, libraries = target / f"{function.name()}.c", _library_folders(step)
    flags = tuple(flag for path in libraries for flag in (f"-L{path}", f"-Wl,-rpath,{path}", f"-Wl,-rpath-link,{path}"))
    # old tags: only they are inherited by the library of the step, which looks for libl4casadi and libtorch
    flags += ("-Wl,--disable-new-dtags", str(step.library), "-ll4casadi", "-lm")
    program, shared = target / f"{function.name()}_main", target / f"lib{function.name()}.so"
    _compile(["gcc", "-O2", str(source), "-o", str(program), *flags])
    _compile(["gcc", "-O2", "-fPIC", "-shared", str(source), "-o", str(shared), *flags])
    return ExportedC(source, program, shared, flags)


class _StepModule(torch.nn.Module):
    """Rows [x, u] `(K, d)` to rows x' `(K, n)`."""

    def __init__(self, dynamics: Any, advance: Callable[[Callable[..., Tensor], Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.state_size, self.control_size = int(dynamics.state_size), int(dynamics.control_size)
        self._dynamics, self._advance = dynamics, advance

    def forward(self, z: Tensor) -> Tensor:
        return self._advance(self._dynamics, z[..., : self.state_size], z[..., self.state_size :])


def _step_module(dynamics: Any, time_step: float | None, integrator: str, substeps: int) -> _StepModule:
    """Return the whole step as a module of its own in float32, the precision of l4casadi."""
    if isinstance(getattr(dynamics, "function", None), casadi.Function):
        raise IncompatibleError("These dynamics are written in CasADi, which generates C code of them by itself.")
    if parameter_names(dynamics):
        names = ", ".join(parameter_names(dynamics))
        raise IncompatibleError(f"The dynamics take parameters ({names}); l4casadi functions have one input only.")
    check_stepping("export_step", integrator, substeps)
    continuous = is_continuous(dynamics)
    if continuous != (time_step is not None):
        reason = "are continuous: give a time_step [s]" if continuous else "are discrete: they take no time_step"
        raise OptionError(f"time_step = {time_step}: the dynamics {reason}.")
    single = cast(deepcopy(dynamics), torch.float32)

    def advance(model: Callable[..., Tensor], state: Tensor, control: Tensor) -> Tensor:
        if time_step is None:
            return model(state, control)
        for _ in range(substeps):
            state = INTEGRATORS[integrator](model, state, control, time_step / substeps)
        return state

    return _StepModule(single, advance).eval()


@torch.no_grad()
def _single_value(model: _StepModule, z: Tensor) -> Tensor:
    """Return the step from z in single precision, in which l4casadi computes."""
    try:
        value: Tensor = model(z)
    except RuntimeError as error:
        if "dtype" in str(error):
            raise IncompatibleError(_DOUBLE) from error
        raise
    if value.dtype is not torch.float32:
        raise IncompatibleError(_DOUBLE)
    return value


def _derivatives(step: casadi.Function, name: str, z: casadi.MX) -> casadi.Function:
    value = step(z)
    multipliers = casadi.MX.sym("multipliers", *value.shape)
    jacobian = casadi.jacobian(casadi.vec(value), z)
    hessian = casadi.hessian(casadi.dot(multipliers, value), z)[0]
    names = ["value", "jacobian", "hessian"]
    return casadi.Function(
        f"{name}_derivatives", [z, multipliers], [value, jacobian, hessian], ["z", "multipliers"], names
    )


def _checked_folder(folder: str | Path, name: str, knots: int) -> Path:
    target = Path(folder).absolute()
    if any(character.isspace() for character in str(target)):
        raise OptionError(f"folder = {str(target)!r}: l4casadi hands it to a shell, so it must not contain spaces.")
    if not casadi.Function.check_name(name):
        raise OptionError(f"name = {name!r}: CasADi takes letters, digits and single underscores, first a letter.")
    check_counts("export_step", knots=knots)
    target.mkdir(parents=True, exist_ok=True)
    return target


def _l4casadi() -> Any:
    try:
        from l4casadi import L4CasADi
    except ImportError as error:
        raise IncompatibleError(
            "l4casadi is not installed. It is built against the torch that is there: pip install ninja scikit-build "
            "'cmake<4', then pip install --no-build-isolation --no-cache-dir l4casadi."
        ) from error
    return L4CasADi


def _library_folders(step: ExportedStep) -> tuple[Path, ...]:
    """Return where the step, libl4casadi and libtorch are."""
    import l4casadi

    return step.library.parent, Path(l4casadi.__file__).parent / "lib", Path(torch.__file__).parent / "lib"


def _compile(command: list[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise IncompatibleError("gcc is not installed; generated C code cannot be compiled.") from error
    if result.returncode:
        raise IncompatibleError(f"gcc refuses the generated code: {result.stderr.strip()[-500:]}")
