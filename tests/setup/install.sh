#!/bin/bash
# Installs what `make test` needs beside Rust: RabbitMQ, Redis, PostgreSQL and Chromium as Debian packages; node and n8n
# from npm, Odoo from Debian and PyPI, schemathesis from PyPI, into the user's cache folder, where a second clone finds
# them. Does nothing, in well under a second, when all is there. Servers are installed, never started: every test starts
# its own on a free port (crates/testkit).
#
# usage: install.sh [servers] [n8n] [odoo] [schemathesis] [python]
# No argument means all but python, which only the benches need; separate calls may run beside each other.
#
# What cannot be installed is said in one line on stderr and kept in $cache/missing/<tool>, which the tests print when they
# skip. With CI=true that is a failure.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/steward
mkdir -p "$cache/missing"

# tool | a file that exists once it is installed | Debian packages.   Tools are named as in testkit::Tool.
servers=(
  "rabbitmq|/usr/lib/rabbitmq/bin/rabbitmq-server|rabbitmq-server"
  "redis|/usr/bin/redis-server|redis-server"
  "postgres|/usr/lib/postgresql/*/bin/postgres|postgresql"
  "browser|/usr/bin/chromium|chromium"
  "browser|/usr/bin/chromedriver|chromium-driver"
)
units=(rabbitmq-server redis-server postgresql)

there() { compgen -G "$1" >/dev/null; }
have() { command -v "$1" >/dev/null 2>&1; }
missing() { # tool, reason
  printf '%s\n' "$2" >"$cache/missing/$1"
  printf '\n*** NOT INSTALLED: %s: %s. Its tests are skipped. ***\n\n' "$1" "$2" >&2
}
found() { rm -f "$cache/missing/$1"; }

# As root, as somebody who may become root without being asked, or not at all.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_install() {
  have apt-get || { echo "no apt-get on this machine; install by hand: $*" >&2; return 1; }
  as_root true || { echo "needs root or password-less sudo for: apt-get install $*" >&2; return 1; }
  # One at a time: whoever came first would otherwise take policy-rc.d away from under the other.
  exec 8>"$cache/apt.lock"
  flock 8
  # A package's own script would start its server. policy-rc.d is Debian's way to say no; it goes away with us.
  local policy=/usr/sbin/policy-rc.d status
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod +x "$policy"
  fi
  as_root apt-get -q -o DPkg::Lock::Timeout=600 update >>"$cache/apt.log" 2>&1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
    --no-install-recommends install "$@" >>"$cache/apt.log" 2>&1
  status=$?
  if [ -n "$(trap -p EXIT)" ]; then as_root rm -f "$policy"; fi
  trap - EXIT
  exec 8>&-
  return $status
}

install_servers() {
  local row tool file package packages=()
  for row in "${servers[@]}"; do
    IFS='|' read -r tool file package <<<"$row"
    there "$file" || packages+=("$package")
  done
  if [ ${#packages[@]} -gt 0 ]; then
    echo "installing from Debian: ${packages[*]}"
    # One package that cannot be had must not keep the others away.
    apt_install "${packages[@]}" || for package in "${packages[@]}"; do apt_install "$package"; done
    # policy-rc.d holds until the next boot only. What was there before us keeps its setting.
    if [ -d /run/systemd/system ]; then
      for package in "${packages[@]}"; do
        [[ " ${units[*]} " == *" $package "* ]] && as_root systemctl disable "$package" >>"$cache/apt.log" 2>&1
      done
    fi
  fi
  local lacking=""
  for row in "${servers[@]}"; do
    IFS='|' read -r tool file package <<<"$row"
    if there "$file"; then
      [[ $lacking == *" $tool "* ]] || found "$tool"
    else
      lacking+=" $tool "
      missing "$tool" "apt-get could not install $package, see $cache/apt.log"
    fi
  done
}

# A part with a script of its own, installed into $cache/<part> and stamped with the digest of what it was made from.
current() { # part, digest
  [ "$(cat "$cache/$1/stamp" 2>/dev/null)" = "$2" ] && [ -x "$cache/$1/bin/$1" ] && found "$1"
}
run_script() { # part, digest
  rm -f "$cache/$1/stamp"
  if "$here/$1/install.sh" "$cache/$1" >"$cache/$1.log" 2>&1; then
    printf '%s\n' "$2" >"$cache/$1/stamp"
    found "$1"
  else
    tail -n 15 "$cache/$1.log" >&2
    missing "$1" "the installation failed, see $cache/$1.log"
  fi
}

install_n8n() {
  local want lacking=() tool
  want=$(cat "$here"/n8n/{install.sh,package-lock.json,node/package-lock.json} | sha256sum | cut -d' ' -f1)
  if current n8n "$want"; then return; fi
  have npm || apt_install npm || lacking+=(npm)
  for tool in python3 make g++; do have "$tool" || apt_install "$tool" || lacking+=("$tool"); done
  if [ ${#lacking[@]} -gt 0 ]; then
    missing n8n "needs ${lacking[*]}, which could not be installed"
    return
  fi
  echo "installing node and n8n into $cache/n8n: 2 to 6 minutes, 3 GB, once (log: $cache/n8n.log)"
  run_script n8n "$want"
}

install_odoo() {
  local want
  want=$(cat "$here"/odoo/{install.sh,requirements.txt,users.py} | sha256sum | cut -d' ' -f1)
  if current odoo "$want"; then return; fi
  if ! there "/usr/lib/postgresql/*/bin/initdb"; then
    missing odoo "needs PostgreSQL to make its database (run $0 servers)"
    return
  fi
  python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
  echo "installing Odoo 19 into $cache/odoo: 2 to 3 minutes, 0.6 GB, once (log: $cache/odoo.log)"
  run_script odoo "$want"
}

install_schemathesis() {
  local want
  want=$(cat "$here"/schemathesis/{install.sh,requirements.txt} | sha256sum | cut -d' ' -f1)
  if current schemathesis "$want"; then return; fi
  python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
  run_script schemathesis "$want"
}

# Of the benches that compare with Python only, so not among what no argument means.
install_python() {
  local want
  want=$(cat "$here"/python/{install.sh,requirements.txt} | sha256sum | cut -d' ' -f1)
  if current python "$want"; then return; fi
  python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
  echo "installing the Python yardsticks into $cache/python: a minute or two, 0.7 GB, once (log: $cache/python.log)"
  run_script python "$want"
}

[ $# -gt 0 ] || set -- servers n8n odoo schemathesis
for part in "$@"; do
  case $part in
    servers | n8n | odoo | schemathesis | python)
      # Two clones, or two terminals, at once: the second waits and then finds everything done.
      exec 9>"$cache/$part.lock"
      flock 9
      "install_$part"
      exec 9>&-
      ;;
    *)
      echo "usage: install.sh [servers] [n8n] [odoo] [schemathesis] [python]" >&2
      exit 64
      ;;
  esac
done

if [ "${CI:-}" = true ]; then
  for part in "$@"; do
    case $part in servers) tools="rabbitmq redis postgres browser" ;; *) tools=$part ;; esac
    for tool in $tools; do [ ! -e "$cache/missing/$tool" ] || exit 1; done
  done
fi
exit 0
