#!/usr/bin/env bash
# Says loudly, as the last lines of `make test`, what was not tested because something could not be installed.
set -euo pipefail
list=${STEWARD_SKIPPED:?}
[ -s "$list" ] || exit 0
printf '\n%s test(s) were SKIPPED:\n' "$(sort -u "$list" | wc -l)"
sort -u "$list"
[ "${CI:-}" != true ]
