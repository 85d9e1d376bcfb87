#!/bin/bash
# Makes a virtual environment with AIRClass and what it needs: program.sh PYTHON SOURCE TARGET. Every package must
# have a hash that constraints.txt names. Neither pip nor setuptools is in the environment: the program does not
# need them, and nobody who breaks in finds them.
set -euo pipefail
python=$1 source=$2 target=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed '/^# build$/,$d' "$source/constraints.txt" >"$work/program.txt"
sed -n '/^# build$/,/^# tests and tools$/p' "$source/constraints.txt" >"$work/build.txt"
"$python" -m venv "$work/build"
pip() { "$work/build/bin/pip" --quiet --disable-pip-version-check "$@"; }
hashed=(--no-deps --require-hashes --only-binary :all:)
pip install "${hashed[@]}" -r "$work/build.txt"
pip wheel --no-deps --no-build-isolation --wheel-dir "$work" "$source"
"$python" -m venv --without-pip "$target"
pip --python "$target/bin/python" install "${hashed[@]}" -r "$work/program.txt"
pip --python "$target/bin/python" install --no-deps --no-index "$work"/airclass-*.whl
