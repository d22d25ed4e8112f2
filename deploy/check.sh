#!/usr/bin/env bash
# What can be known of deploy/ without a cluster and without a container engine. `make check` calls it.
#
# Needs kubectl (kustomize), promtool, and python3 with PyYAML; what is missing is unpacked from Debian's packages into the
# user's cache folder, without root. Docker's compose plugin is used where it is; nothing is started.
# A check that cannot run is said in one line; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/steward/deploy-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=0

skip() { printf '\n*** NOT CHECKED: %s ***\n\n' "$1" >&2; skipped=1; }

# Unpacks a Debian package into the cache; its programs are then in $cache/usr/bin.
debian() { # package
  command -v apt-get >/dev/null || return 1
  mkdir -p "$cache"
  local fetched
  fetched=$(mktemp -d -p "$work")
  chmod 755 "$work" "$fetched"
  (cd "$fetched" && { apt-get -qq download "$1" || { [ "$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq download "$1"; }; }) >/dev/null 2>&1 &&
    dpkg -x "$fetched"/*.deb "$cache"
}
export PATH=$PATH:$cache/usr/bin

# --- kustomize ---------------------------------------------------------------------------------------------------------
command -v kubectl >/dev/null || debian kubernetes-client || true
if ! command -v kubectl >/dev/null; then
  skip "deploy/kubernetes: no kubectl here, and apt-get could not bring kubernetes-client"
elif [ "$(kubectl version --client --output=json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p' | head -1)" -lt 27 ]; then
  # Debian 12's is 1.20, whose kustomize knows neither `labels` nor folders among `resources`.
  skip "deploy/kubernetes: $(command -v kubectl) is older than 1.27"
else
  kubectl kustomize kubernetes/base >"$work/base.yaml"
  kubectl kustomize kubernetes/overlays/example >"$work/example.yaml"
fi

# --- what prepare.sh makes, in a copy ------------------------------------------------------------------------------------
mkdir "$work/repo"
cp -r ../deploy ../n8n-workflows "$work/repo/"
rm -rf "$work/repo/deploy/compose/"{secrets,n8n,.env}
"$work/repo/deploy/compose/prepare.sh" >/dev/null

# --- files against each other, against the settings' types and against the metrics' names ----------------------------------
python=python3
if ! $python -c 'import yaml' 2>/dev/null; then
  { command -v python3 >/dev/null && debian python3-yaml; } || true
  export PYTHONPATH=$cache/usr/lib/python3/dist-packages
fi
if $python -c 'import yaml' 2>/dev/null; then
  $python check.py "$work"
else
  skip "deploy/: needs python3 with PyYAML (Debian: python3-yaml)"
fi

# --- with the tools of the trade, where they are -----------------------------------------------------------------------------
command -v promtool >/dev/null || debian prometheus || true
if command -v promtool >/dev/null; then
  promtool check rules observability/prometheus/steward.rules.yaml >/dev/null
  promtool test rules observability/prometheus/steward.rules.test.yaml >/dev/null
else
  skip "the alert rules and their tests: no promtool here, and apt-get could not bring prometheus"
fi
if docker compose version >/dev/null 2>&1; then
  docker compose --project-directory "$work/repo/deploy/compose" --file "$work/repo/deploy/compose/compose.yaml" config --quiet
else
  echo "no 'docker compose' here: compose.yaml was checked by check.py only"
fi

if [ "$skipped" = 1 ] && [ "${CI:-}" = true ]; then exit 1; fi
echo "deploy/: in order"
