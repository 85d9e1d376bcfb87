#!/bin/sh
# Creates .venv with the given Python and installs AIRClass into it, with the locked versions.
set -eu
python=$1
if [ -z "$python" ]; then
    echo "AIRClass needs Python 3.11 or newer on PATH, for example: apt install python3 python3-venv" >&2
    exit 2
fi
if [ ! -x .venv/bin/pip ]; then
    "$python" -m venv .venv || {
        echo "$python cannot create a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2
        exit 2
    }
fi
pip() { .venv/bin/pip install --quiet --disable-pip-version-check --no-deps "$@"; }
pip --require-hashes --only-binary :all: -r constraints.txt
pip --no-build-isolation -e .
