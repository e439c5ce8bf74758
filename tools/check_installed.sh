#!/usr/bin/env bash
# Use the package installed in the environment $1 from an empty directory, as a user would.
set -euo pipefail

bin="$(cd "$1/bin" && pwd)"
elsewhere="$(mktemp -d)"
trap 'rm -rf "$elsewhere"' EXIT
cd "$elsewhere"

"$bin/python" -m pip check
"$bin/python" -W error::DeprecationWarning:trajopt_sgp - <<'PYTHON'
import importlib
import pkgutil
import sys
from pathlib import Path

import gymnasium
import trajopt_sgp

root = Path(trajopt_sgp.__file__).parent
if not root.is_relative_to(sys.prefix):
    sys.exit(f"{root} is not in the environment {sys.prefix}")
if not (root / "py.typed").is_file():
    sys.exit("the wheel lacks py.typed")

modules = [module.name for module in pkgutil.walk_packages([str(root)], "trajopt_sgp.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)

environment = gymnasium.make("trajopt_sgp.envs:trajopt_sgp/CartPoleSwingUp-v0")
environment.reset(seed=0)
environment.step(environment.action_space.sample())
environment.close()
print(f"imported {len(modules)} modules from {root}, stepped {environment.spec.id}")
PYTHON
"$bin/trajopt-sgp" --help > /dev/null

if [ -n "$(ls -A)" ]; then
    echo "importing the package left files behind: $(ls -A)" >&2
    exit 1
fi
