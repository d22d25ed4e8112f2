#!/bin/bash
# Installs what the Python yardsticks of the benches need (numpy, scipy, scikit-learn, LightGBM, statsforecast) into DIR
# from PyPI, all pinned by version. 700 MB; a minute or two. Needs python3 with its venv module.
# usage: install.sh DIR
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
dir=${1:?usage: install.sh DIR}
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$here/requirements.txt"
"$dir/bin/python" -c 'import lightgbm, statsforecast, sklearn, scipy'
