#!/bin/bash
# Builds the web pages of a checkout that has none: pages.sh PYTHON. Node.js comes from PyPI, its packages from npm,
# for this build alone: what was not there before is removed.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -f airclass/_pages/index.html ] || [ ! -d frontend ]; then
    exit 0
fi
echo "[OK] Building the web pages, once"
work=$(mktemp -d)
remove=("$work")
[ -d frontend/node_modules ] || remove+=(frontend/node_modules)
trap 'rm -rf "${remove[@]}"' EXIT
wheel=$(sed -n 's/^NODE_WHEEL=//p' deploy/setup/need.sh)
"$1" -m venv "$work/node"
"$work/node/bin/pip" install --quiet --disable-pip-version-check "$wheel"
export PATH=$work/node/bin:$PATH npm_config_cache=$work/cache
npm --prefix frontend ci --no-progress --silent
npm --prefix frontend run build --silent >/dev/null
