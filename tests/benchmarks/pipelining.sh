#!/usr/bin/env bash
# How much the pipeline saves: eight of the demo's videos submitted together, and the same videos one after another, on
# the same warm farm of four worker processes with one thread each. Prints both wall times and their ratio, and of the
# videos together how busy each worker was and how near the whole came to the least time it could take.
#
#     cargo build --release && cargo build --release -p wanfarm-tests --example busy
#     tests/benchmarks/pipelining.sh [FOLDER OF THE BINARIES] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-target/release}; rounds=${2:-3}
binary=$binaries/coordinator
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export WANFARM_LOG=error

: >"$work/address"
"$binary" serve --listen 127.0.0.1:0 --data "$work/data" --output "$work/output" >"$work/address" &
until grep -q http "$work/address"; do sleep 0.1; done
export WANFARM_COORDINATOR=$(grep -o 'http://.*' "$work/address")
for role in text-encoder dit-high dit-low vae; do
  "$binary" worker --role $role --models deploy/demo --data "$work/$role" --threads 1 &
done

head='[job]
name = "bench"
model = "wan-tiny-t2v"
output = "{index:02}"
formats = ["mp4"]
[defaults]
steps = 20
shift = 5.0
guidance = 5.0
negative = ""
'
colours=(red green blue yellow purple orange red green)
video() { printf '[[video]]\nprompt = "a %s circle moving left on a black background"\nseed = %s\n' "${colours[$1]}" "$1"; }
{ echo "$head"; for i in 0 1 2 3 4 5 6 7; do video $i; done; } >"$work/all.toml"
for i in 0 1 2 3 4 5 6 7; do { echo "$head"; video $i; } >"$work/one$i.toml"; done
submit() { "$binary" submit --follow "$1" >/dev/null 2>&1; }
now() { date +%s.%N; }

submit "$work/all.toml"   # weights are in memory, files in the page cache
for round in $(seq "$rounds"); do
  a=$(now); submit "$work/all.toml"
  b=$(now); "$binaries/examples/busy" "$work/output"
  c=$(now); for i in 0 1 2 3 4 5 6 7; do submit "$work/one$i.toml"; done
  d=$(now)
  echo "$a $b $c $d" | awk -v r="$round" '{ t=$2-$1; o=$4-$3; printf "round %d: together %.2f s, one after another %.2f s, ratio %.2f\n", r, t, o, o/t }'
done
