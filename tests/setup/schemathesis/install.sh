#!/bin/bash
# Installs schemathesis into DIR from PyPI, it and all it needs pinned by version and hash. 60 MB; a minute.
# Needs python3 with its venv module. Afterwards DIR/bin/schemathesis runs.
# usage: install.sh DIR
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
dir=${1:?usage: install.sh DIR}
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$here/requirements.txt"
"$dir/bin/schemathesis" --version
