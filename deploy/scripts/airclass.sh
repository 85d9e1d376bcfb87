# shellcheck shell=bash
# Sourced by the scripts beside it: finds the `airclass` command and the folder of this installation.
# AIRCLASS_BIN wins; then the version that these scripts belong to, the checkout's .venv, and PATH.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for candidate in "${AIRCLASS_BIN:-}" "$here/../../bin/airclass" "$here/../../.venv/bin/airclass" \
    "$(command -v airclass || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
        airclass=$(realpath -s "$candidate")
        break
    fi
done
unset AIRCLASS_BIN # not a setting of the program
if [ -z "${airclass:-}" ]; then
    echo "The airclass command is not installed: run deploy/install.sh or make setup first." >&2
    exit 2
fi

# cron starts in the home folder: go to where .env is, and keep what the paths among the words meant
if [ ! -f .env ]; then
    for folder in /etc/airclass "$here/../.."; do
        [ -f "$folder/.env" ] || continue
        words=()
        for word in "$@"; do
            case $word in
            -* | /* | [0-9]* | http://* | https://*) ;;
            *) word=$PWD/$word ;;
            esac
            words+=("$word")
        done
        set -- "${words[@]}"
        cd "$folder" || exit 2
        break
    done
fi
