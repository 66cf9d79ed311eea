# Sourced: a coordinator with many pretended workers that render many pretended videos, as said by
# $binaries, $workers, $videos and $pace (milliseconds of a step). Leaves $work, $coordinator (its process) and
# $WANFARM_COORDINATOR; all of it ends with the script.
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export WANFARM_LOG=error
# A connection and more for every worker.
ulimit -n "$(ulimit -Hn)"

# It is read before the coordinator has made it.
: >"$work/address"
"$binaries/coordinator" serve --listen 127.0.0.1:0 --data "$work/data" --output "$work/output" >"$work/address" &
coordinator=$!
until grep -q http "$work/address"; do sleep 0.01; done
export WANFARM_COORDINATOR=$(grep -o 'http://.*' "$work/address")
cat >"$work/load.toml" <<M
[job]
name = "load"
model = "horde"
output = "{index:05}"
[[video]]
prompt = "a pretended video"
sweep = { seed = [$(seq -s, 1 "$videos")] }
M
"$binaries/coordinator" submit "$work/load.toml" >/dev/null
"$binaries/examples/horde" "$WANFARM_COORDINATOR" "$workers" "$pace" &

