#!/bin/bash
# Creates .venv with the given Python and installs AIRClass into it, with the locked versions: venv.sh PYTHON PART.
# PART is `program` (what AIRClass needs to run) or `tools` (what tests and linters need besides).
set -euo pipefail
python=$1 part=$2
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
list=$(mktemp)
trap 'rm -f "$list"' EXIT
case $part in
program) sed '/^# tests and tools$/,$d' constraints.txt >"$list" ;;
tools) sed -n '/^# tests and tools$/,$p' constraints.txt >"$list" ;;
esac
count=$(grep -c '^[a-z].*==' "$list")
# pip is silent for a minute or prints a hundred lines: show one line that counts
progress() {
    awk -v count="$count" -v part="$part" -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
        /^Collecting/ { n++; text = "  " n " of " count " packages (" part ")" }
        /^Installing collected/ { text = "  unpacking " count " packages (" part ")" }
        /^Collecting/ && !tty && n % 20 { next }
        /^(Collecting|Installing collected)/ { printf tty ? "\r\033[K%s" : "%s\n", text; fflush() }
        END { if (tty) printf "\r\033[K" }'
}
pip() { .venv/bin/pip install --disable-pip-version-check --no-deps "$@"; }
pip --progress-bar off --require-hashes --only-binary :all: -r "$list" | progress
if [ "$part" = program ]; then
    pip --quiet --no-build-isolation -e .
    echo "The command \`airclass\` is in .venv/bin: \`. .venv/bin/activate\` puts it on your PATH."
fi
