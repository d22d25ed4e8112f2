#!/usr/bin/env bash
# Licences, banned and duplicate crates, sources. Advisories need their database from the network: where it cannot be
# reached the other checks still run, and the script says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools="${XDG_CACHE_HOME:-$HOME/.cache}/steward/tools"
deny=$(command -v cargo-deny || echo "$tools/bin/cargo-deny")
[ -x "$deny" ] || cargo install --quiet --locked cargo-deny --version 0.20.2 --root "$tools"
"$deny" --log-level error check bans licenses sources
if [ "${STEWARD_ADVISORIES:-}" = 1 ]; then
  "$deny" check advisories
else
  echo "advisories not checked (set STEWARD_ADVISORIES=1 where the advisory database can be reached)"
fi
