#!/usr/bin/env bash
# What the coordinator answers over HTTP is what its document says, whatever is asked: random requests, those that fit the
# document and those that do not, for a minute.
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
source ./start.sh
start "$program"
submit "$program"
# The stream of events has no end.
(
  cd "$work"
  PYTHONPATH=$tools timeout 150 python3 -m schemathesis.cli --config-file "$OLDPWD/schemathesis.toml" run \
    --url "$url" --exclude-path /api/v1/events --max-time 60 --request-timeout 20 --seed 1 \
    --generation-deterministic --no-color "$url/api/openapi.json"
)
lives
