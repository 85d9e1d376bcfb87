#!/bin/bash
# Stable name for cron and manuals: the same as `airclass restore`, with the same options and exit codes.
set -euo pipefail
source "$(dirname "$0")/airclass.sh"
exec "$airclass" restore "$@"
