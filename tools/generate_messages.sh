#!/usr/bin/env bash
# Writes the Python codecs of the message definitions anew: tools/generate_messages.sh [FOLDER]
# FOLDER holds the package trajopt_sgp afterwards; it is the root of the repository unless told otherwise.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
messages=trajopt_sgp/hardware/messages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/.venv/bin/lcm-gen" --python --ppath="$work" --package-prefix=trajopt_sgp.hardware.messages.generated \
    "$root/$messages"/definitions/*.lcm
# lcm-gen appends to __init__.py, and writes one into every folder above: only the new files below generated/ are wanted
target=${1:-$root}/$messages/generated
rm -rf "$target"
mkdir -p "$(dirname "$target")"
cp -r "$work/$messages/generated" "$target"
echo '"""Codecs written by lcm-gen from the definitions beside this folder: tools/generate_messages.sh."""' \
    > "$target/__init__.py"
