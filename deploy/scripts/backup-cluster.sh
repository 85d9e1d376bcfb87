#!/bin/bash
# Stable name for cron and manuals: the same as `airclass backup`, with the same options and exit codes.
set -euo pipefail
words=" $* "
[[ $words =~ \ [^-\ ] ]] || set -- backups "$@" # the folder below where this is run, not where .env is
source "$(dirname "$0")/airclass.sh"
exec "$airclass" backup "$@"
