#!/usr/bin/env bash
# stage.sh BUDGET NAME COMMAND...   runs one stage, says how long it took of its budget (seconds on 2 cores, everything
# cold), and says loudly when it took longer. The budgets add up to less than the 45 minutes that CI has.
set -uo pipefail
budget=$1 name=$2; shift 2
printf '== %s (budget %s s)\n' "$name" "$budget"
start=$SECONDS
"$@"; code=$?
took=$((SECONDS - start))
printf '== %s: %s s of %s s%s%s\n' "$name" "$took" "$budget" \
  "$([ $took -le "$budget" ] || echo ", OVER BUDGET")" "$([ $code -eq 0 ] || echo ", FAILED ($code)")"
exit $code
