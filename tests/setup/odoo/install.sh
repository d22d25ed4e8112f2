#!/bin/bash
# Installs Odoo 19 Community into DIR: the program from Debian's package `odoo-19`, its Python libraries from PyPI (pinned
# with their hashes in requirements.txt), and an initialised database that a test restores in seconds.
# Needs Python 3.11 to 3.13 with venv, PostgreSQL, and 0.6 GB; 2 to 3 minutes on two cores. Nothing is installed system-wide,
# nothing keeps running. Afterwards DIR has:
#   bin/odoo          the program
#   bin/python        the Python it runs on
#   database.dump     for pg_restore: stock, purchasing and automation rules; no demo data
#   filestore/        the attachments of that database
#   keys.json         its users with their API keys, see users.py
# usage: install.sh DIR
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
dir=$(mkdir -p "${1:?usage: install.sh DIR}" && cd "$1" && pwd)
modules=base_automation,stock,purchase_stock,sale_stock
# A socket's path may have 107 bytes, which a cache folder can exceed.
work=$(mktemp -d /tmp/steward-odoo-XXXXXX)
pg_bin=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)")

say() { printf '%3d s  %s\n' "$SECONDS" "$*"; }

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

finish() {
  [ ! -e "$work/pg/postmaster.pid" ] || as_postgres "$pg_bin/pg_ctl" -D "$work/pg" -m immediate stop >/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# apt with this one source and lists of its own, but with the machine's settings (a proxy, say).
apt_private() {
  mkdir -p "$work"/apt/{lists/partial,archives/partial}
  apt-get -qq -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt" -o APT::Sandbox::User=root \
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false "$@"
}

# Odoo is in Debian's suite sid only; its package depends on nothing that matters to us.
program() {
  local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016 # apt fills it in
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 -E '/debian/?$') || {
    echo "this machine's apt has no Debian mirror, and only Debian packages Odoo" >&2
    return 1
  }
  echo "deb [signed-by=$keyring] $mirror sid main" >"$work/apt/sources.list"
  apt_private update
  (cd "$work" && apt_private download odoo-19)
  rm -rf "$dir/odoo"
  mkdir "$dir/odoo"
  # Translations and the tax tables of countries are three quarters of it.
  dpkg-deb --fsys-tarfile "$work"/odoo-19_*.deb | tar -x -C "$dir/odoo" --strip-components=2 \
    --exclude='*/i18n/*' --exclude='*/addons/l10n_*' --exclude='./usr/share/doc/*' ./usr
  rm "$work"/odoo-19_*.deb
}

libraries() {
  local python
  for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then break; fi
  done
  rm -rf "$dir/venv"
  "$python" -m venv "$dir/venv"
  "$dir/venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
  mkdir -p "$dir/bin"
  printf '#!/bin/sh\nPYTHONPATH=%q exec %q -X utf8 %q "$@"\n' \
    "$dir/odoo/lib/python3/dist-packages" "$dir/venv/bin/python3" "$dir/odoo/bin/odoo" >"$dir/bin/odoo"
  chmod +x "$dir/bin/odoo"
  ln -sf ../venv/bin/python3 "$dir/bin/python"
}

database() {
  local odoo=(-d odoo --db_host "$work/socket" --db_user steward --data-dir "$work/data" --no-http --max-cron-threads=0)
  mkdir "$work"/{pg,socket}
  chmod 755 "$work"
  [ "$(id -u)" != 0 ] || chown postgres "$work"/{pg,socket}
  as_postgres "$pg_bin/initdb" --no-sync --auth=trust --username=steward --encoding=UTF8 --locale=C -D "$work/pg" >"$work/initdb.log"
  as_postgres "$pg_bin/pg_ctl" -D "$work/pg" -w -l "$work/pg/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$work/socket -c fsync=off -c full_page_writes=off" start >/dev/null
  "$pg_bin/createdb" -h "$work/socket" -U steward odoo
  "$dir/bin/odoo" server "${odoo[@]}" -i "$modules" --without-demo=True --stop-after-init
  # `odoo shell` swallows what a script raises, so the script's last act is what tells.
  KEYS_OUT=$work/keys.json "$dir/bin/odoo" shell "${odoo[@]}" <"$here/users.py"
  "$pg_bin/pg_dump" -h "$work/socket" -U steward --format=custom --compress=1 --no-owner -f "$dir/database.dump" odoo
  rm -rf "$dir/filestore"
  mv "$work/data/filestore/odoo" "$dir/filestore"
  install -m 600 "$work/keys.json" "$dir/keys.json"
}

mkdir "$work/apt"
say "the program, from Debian"
program
say "its Python libraries, from PyPI"
libraries
say "a database with $modules"
database
say "done: $("$dir/bin/odoo" --version), $(du -sh "$dir" | cut -f1) in $dir"
