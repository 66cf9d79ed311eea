#!/usr/bin/env bash
# What a large job costs: seconds to submit a manifest of 10,000 videos to a coordinator that knows its model, the
# coordinator's resident memory after that, and seconds until it listens again after a kill.
#
#     cargo build --release && tests/benchmarks/submit.sh [BINARY] [VIDEOS]
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${1:-target/release/coordinator}; videos=${2:-10000}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export WANFARM_LOG=error

serve() {
  : >"$work/address"
  "$binary" serve --listen "$1" --data "$work/data" --output "$work/output" >"$work/address" & coordinator=$!
  until grep -q http "$work/address"; do sleep 0.01; done
  export WANFARM_COORDINATOR=$(grep -o 'http://.*' "$work/address")
}
memory() { ps -o rss= -p $coordinator | awk '{printf "%.0f MB", $1 / 1024}'; }
now() { perl -MTime::HiRes=time -e 'printf "%.3f", time'; }

manifest() {
  cat <<M
[job]
name = "many"
model = "wan-tiny-t2v"
output = "{index:05}"
[defaults]
width = 64
height = 64
frames = 17
[[video]]
prompt = "a red circle moving right on a black background"
sweep = { seed = [$(seq -s, 1 "$1")] }
M
}

serve 127.0.0.1:0
"$binary" worker --role text-encoder --models deploy/demo --data "$work/worker" --threads 1 &
manifest 1 >"$work/one.toml"; manifest "$videos" >"$work/many.toml"
"$binary" submit "$work/one.toml" >/dev/null
# Once its text is encoded the model is known.
until ls "$work"/data/artifacts/*/* >/dev/null 2>&1; do sleep 0.1; done
echo "memory before: $(memory)"
begin=$(now); "$binary" submit "$work/many.toml" >/dev/null; end=$(now)
echo "submit of $videos videos: $(perl -e "printf '%.2f s', $end - $begin")"
echo "memory after: $(memory)"
kill -9 $coordinator; wait $coordinator 2>/dev/null || true
begin=$(now); serve "${WANFARM_COORDINATOR#http://}"; end=$(now)
echo "restart: $(perl -e "printf '%.2f s', $end - $begin")"
echo "memory after the restart: $(memory)"
