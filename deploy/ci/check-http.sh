#!/usr/bin/env bash
# What the coordinator answers over HTTP is what its document says, whatever is asked: random requests, those that fit the
# document and those that do not, for a minute and a half.
# Usage: check-http.sh COORDINATOR, the program.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")"
tools=${XDG_CACHE_HOME:-$HOME/.cache}/wanfarm-ci/schemathesis
version=4.32.5
if [[ ! -d $tools/schemathesis-$version.dist-info ]]; then
  rm -rf "$tools"
  pip3 install --quiet --target "$tools" "schemathesis==$version"
fi
work=$(mktemp -d)
server=
stop() {
  [[ -z $server ]] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
  rm -rf "$work"
}
trap stop EXIT
# It is read before the coordinator has made it.
: >"$work/out"
"$program" serve --listen 127.0.0.1:0 --data "$work/data" --output "$work/output" >"$work/out" 2>"$work/log" &
server=$!
for _ in {1..100}; do
  url=$(sed -n 's/^listening on //p' "$work/out")
  [[ -n $url ]] && break
  kill -0 "$server" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
[[ -n $url ]] || { echo "the coordinator does not listen within 10 seconds"; cat "$work/log"; exit 1; }
# Something to ask for.
for job in 1 2 3; do
  printf '[job]\nname = "job %s"\nmodel = "demo"\n[[video]]\nprompt = "a red fox"\nsweep = { seed = [1, 2] }\n' "$job" >"$work/job.toml"
  "$program" submit --coordinator "$url" "$work/job.toml" >/dev/null
done
# The stream of events has no end.
(
  cd "$work"
  PYTHONPATH=$tools timeout 150 python3 -m schemathesis.cli --config-file "$OLDPWD/schemathesis.toml" run \
    --url "$url" --exclude-path /api/v1/events --max-time 90 --request-timeout 20 --seed 1 \
    --generation-deterministic --no-color "$url/api/openapi.json"
)
kill -0 "$server" || { echo "the coordinator has ended"; tail -n 50 "$work/log"; exit 1; }
if grep -n 'panicked' "$work/log"; then exit 1; fi
