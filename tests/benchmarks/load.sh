#!/usr/bin/env bash
# What a coordinator costs under a large farm: its processor time and memory with many pretended workers, each step
# reported, made durable and recorded, and many who watch over HTTP; how long its loop's turns take, and how long `status` takes
# meanwhile.
#
#     cargo build --release && cargo build --release -p wanfarm-tests --example horde
#     tests/benchmarks/load.sh [BINARIES] [WORKERS] [VIDEOS] [MILLISECONDS_PER_STEP] [SECONDS] [VIEWERS]
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-target/release}; workers=${2:-1000}; videos=${3:-10000}; pace=${4:-10000}; seconds=${5:-120}; viewers=${6:-200}
source tests/benchmarks/pretended.sh

now() { perl -MTime::HiRes=time -e 'printf "%.3f", time'; }
# Seconds of processor time so far, and megabytes resident now and at most.
cost() { perl -lane 'print(($F[13] + $F[14]) / 100)' "/proc/$coordinator/stat"; }
memory() { awk "/^$1/"' {printf "%.0f MB", $2 / 1024}' "/proc/$coordinator/status"; }
steps() { "$binaries/coordinator" status load --json | perl -MJSON::PP -0ne '$n += $_->{steps_done} for @{decode_json($_)->{videos}}; print $n'; }
# One in ten reads slower than it is told.
for ((viewer = 0; viewer < viewers; viewer++)); do
  ((viewer % 10)) && limit=() || limit=(--limit-rate 1k)
  curl -sN "${limit[@]}" "$WANFARM_COORDINATOR/api/v1/events" >/dev/null &
done
# How many turns took at most so many seconds.
turns() { curl -s "$WANFARM_COORDINATOR/metrics" | sed -n 's/^wanfarm_turn_seconds_bucket{le="\(.*\)"} /\1 /p'; }
sleep "$((seconds / 4))"
turns >"$work/before"; first=$(steps); before=$(cost); begin=$(now); sleep "$seconds"; after=$(cost); end=$(now); last=$(steps); turns >"$work/after"
asked=$(now); "$binaries/coordinator" status load >/dev/null; answered=$(now)
perl -e "printf qq(%.0f steps a second, %.1f %% of a core over %.0f s; status of the job answered in %.2f s\n), ($last - $first) / ($end - $begin), 100 * ($after - $before) / ($end - $begin), $end - $begin, $answered - $asked"
paste -d' ' "$work/before" "$work/after" | awk '{ le[NR] = $1; n[NR] = $4 - $2 }
  END { for (i = 1; i <= NR; i++) for (q in want) if (!(q in at) && n[i] >= q * n[NR]) at[q] = le[i]
        printf "%d turns: half within %s s, 99 %% within %s s, all but one in a thousand within %s s\n", n[NR], at[0.5], at[0.99], at[0.999] }
  BEGIN { want[0.5]; want[0.99]; want[0.999] }'
echo "memory $(memory VmRSS), at most $(memory VmHWM)"
