"""List and run the benchmarks: `python -m benchmarks [NAME ...] [--list] [--json FILE]`."""

import argparse
import importlib
import json
import pkgutil
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.measure import Measurement, describe_machine


def find_benchmarks() -> dict[str, str]:
    """Name and first docstring line of every module `bench_NAME` beside this one."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name.startswith("bench_")]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name.removeprefix("bench_"): (m.__doc__ or "").partition("\n")[0] for name, m in modules.items()}


def run_benchmark(name: str) -> list[Measurement]:
    """What `benchmarks/bench_NAME.py` measures, by its function `measure()`."""
    return list(importlib.import_module(f"benchmarks.bench_{name}").measure())


def tabulate(name: str, measurements: list[Measurement]) -> Table:
    """One row per measurement, times in milliseconds."""
    table = Table("case", "median [ms]", "fastest [ms]", "repeats", title=name, title_justify="left")
    for m in measurements:
        table.add_row(m.case, f"{1e3 * m.median:.2f}", f"{1e3 * m.fastest:.2f}", str(m.repeats))
    return table


def main() -> None:
    """Run the named benchmarks, or all of them."""
    known = find_benchmarks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(known)} (default: all)")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - known.keys():
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}; there are: {', '.join(known)}")

    console = Console()
    if arguments.list:
        for name, summary in known.items():
            console.print(f"{name}: {summary}", highlight=False, soft_wrap=True)
        return

    machine = describe_machine()
    console.print(machine)
    results = {}
    for name in arguments.names or known:
        results[name] = run_benchmark(name)
        console.print(tabulate(name, results[name]))
    if arguments.json:
        cases = {name: [asdict(m) for m in measurements] for name, measurements in results.items()}
        arguments.json.write_text(json.dumps({"machine": machine, "benchmarks": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()
