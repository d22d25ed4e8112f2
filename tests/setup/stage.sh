#!/usr/bin/env bash
# stage.sh NAME COMMAND...   runs one stage and says how long it took, so that a slow one is seen in every log.
set -uo pipefail
name=$1; shift
printf '== %s\n' "$name"
start=$SECONDS
"$@"; code=$?
printf '== %s: %s s%s\n' "$name" $((SECONDS - start)) "$([ $code -eq 0 ] || echo ", FAILED ($code)")"
exit $code
