#!/bin/bash
# Searches for inputs that break a promise of src/lib.rs: every target, or those named, for SECONDS each.
# With the stable toolchain: LLVM's coverage counters are ordinary code generation options, and the fuzzer itself is a crate.
# What crashes is kept in seeds/<target>/crash-*, where `cargo test -p steward-fuzz` replays it; commit it with the mend.
# What is merely new grows in target/fuzz/corpus/<target>.
#
# usage: run.sh SECONDS [target...]
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
seconds=${1:?usage: run.sh SECONDS [target...]}
shift
[ $# -gt 0 ] || set -- $(cd "$here/seeds" && ls)

host=$(rustc -vV | sed -n 's/^host: //p')
llvm() { printf -- ' -Cllvm-args=-sanitizer-coverage-%s' "$@"; }
# With --target, build scripts and macros are built without the counters, for which they have no runtime.
RUSTFLAGS="-Cpasses=sancov-module$(llvm level=4 inline-8bit-counters pc-table trace-compares) -Ccodegen-units=1 --cfg fuzzing" \
  cargo build --quiet --locked -p steward-fuzz --features libfuzzer --target "$host" --target-dir target/fuzz

for target in "$@"; do
  corpus=target/fuzz/corpus/$target
  mkdir -p "$corpus"
  echo "fuzzing $target for $seconds s"
  if ! FUZZ=$target "target/fuzz/$host/debug/fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="$here/seeds/$target/" "$corpus" "$here/seeds/$target" >"$corpus.log" 2>&1; then
    tail -n 40 "$corpus.log" >&2
    echo "$target broke a promise; the input is in tests/fuzz/seeds/$target, the log in $corpus.log" >&2
    exit 1
  fi
  grep -E 'stat::(number_of_executed_units|new_units_added)' "$corpus.log"
done
