#!/usr/bin/env bash
# Builds the fuzz targets with coverage, which every toolchain can, and runs each for some seconds, always from the same seed.
# A line for each says how much it ran; what crashes, hangs or takes too much memory is kept in tests/fuzz/artifacts.
# Usage: deploy/ci/check-fuzz.sh [SECONDS_PER_TARGET [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/../../tests/fuzz"
seconds=${1:-15}
targets=("${@:2}")
((${#targets[@]})) || mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
# With a target named, build scripts and macros are built without coverage.
RUSTFLAGS=$coverage cargo build --release --locked --quiet --target "$host" --bins
programs=${CARGO_TARGET_DIR:-target}/$host/release

# Files that targets read lie in memory, where there is such a disk.
work=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work

failed=0
for target in "${targets[@]}"; do
  corpus=corpus/$target
  mkdir -p "$corpus" "artifacts/$target"
  FUZZ_SEEDS=$work/seeds-$target "$programs/$target" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  code=0
  "$programs/$target" -seed=1 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "$corpus" "$work/seeds-$target" >"$work/log" 2>&1 || code=$?
  run=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  pace=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$work/log")
  memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$work/log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/log" | tail -n 1)
  printf '%-14s %9s inputs, %6s a second, %6s places reached, %5s MiB' \
    "$target" "${run:--}" "${pace:--}" "${covered:--}" "${memory:--}"
  if ((code)); then
    echo ": FAILED"
    tail -n 40 "$work/log"
    failed=1
  else
    echo
  fi
done
exit "$failed"
