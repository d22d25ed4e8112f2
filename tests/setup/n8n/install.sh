#!/bin/bash
# Installs node 24 and n8n into DIR from the npm registry, both pinned by the lock files beside this script.
# Needs npm, python3, make, g++ and about 3 GB; 4-6 minutes on two cores. Afterwards DIR/bin/n8n runs.
# usage: install.sh DIR
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
dir=$(mkdir -p "${1:?usage: install.sh DIR}"/{node,app,bin} && cd "$1" && pwd)
quiet=(--no-audit --no-fund --loglevel=error)

# node comes as an npm package with its headers, and brings its own npm: what the machine has is often too old for n8n.
cp "$here"/node/package{,-lock}.json "$dir/node/"
cd "$dir/node" && npm ci --ignore-scripts "${quiet[@]}"
node=$(echo "$dir"/node/node_modules/node-linux-*)
npm=$dir/node/node_modules/npm
export PATH=$node/bin:$npm/bin:$PATH

# Install scripts stay off: kafka-javascript would fetch a prebuilt from GitHub or want libcurl and OpenSSL sources.
# `npm ci` refuses this lock (optional packages of other platforms are not in it); `install` honours its versions
# and integrity hashes all the same.
cp "$here"/package{,-lock}.json "$dir/app/"
cd "$dir/app" && node "$npm/bin/npm-cli.js" install --ignore-scripts --prefer-offline "${quiet[@]}"

# The one native module without a prebuilt for node 24. Its sources are in its package.
cd "$dir/app/node_modules/sqlite3"
if ! node "$npm/node_modules/node-gyp/bin/node-gyp.js" rebuild --nodedir="$node" -j 2 >"$dir/sqlite3-build.log" 2>&1; then
  tail -n 30 "$dir/sqlite3-build.log" >&2
  echo "sqlite3 did not compile; the whole log: $dir/sqlite3-build.log" >&2
  exit 1
fi
cd "$dir/app" && node -e "require('sqlite3'); require('isolated-vm')"

printf '#!/bin/sh\nPATH=%q:$PATH exec %q "$@"\n' "$node/bin" "$dir/app/node_modules/.bin/n8n" >"$dir/bin/n8n"
chmod +x "$dir/bin/n8n"
"$dir/bin/n8n" --version
