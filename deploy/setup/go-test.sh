#!/bin/bash
# Tests and builds a Go module: go-test.sh MODULE RESULTS PROGRAM. The results are JSON lines; the
# output of a failing test is shown.
set -euo pipefail
results=$(realpath -m "$2") program=$(realpath -m "$3")
cd "$1"
if ! go test -json ./... >"$results"; then
    go test ./... || true # once more, to be read by people
    exit 1
fi
echo "go test: $(grep -c '"Action":"pass".*"Test"\|"Test".*"Action":"pass"' "$results") passed"
go build -o "$program" .
