# A coordinator for checks, sourced by them: `start PROGRAM` starts one in the folder $work and sets $url; what it logs is in
# $work/log, and all of it goes when the script ends.
work=$(mktemp -d)
server=
stop() {
  [[ -z $server ]] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
  rm -rf "$work"
}
trap stop EXIT

start() {
  # It is read before the coordinator has made it.
  : >"$work/out"
  "$1" serve --listen 127.0.0.1:0 --data "$work/data" --output "$work/output" >"$work/out" 2>"$work/log" &
  server=$!
  for _ in {1..100}; do
    url=$(sed -n 's/^listening on //p' "$work/out")
    [[ -n $url ]] && return
    kill -0 "$server" || { cat "$work/log"; exit 1; }
    sleep 0.1
  done
  echo "the coordinator does not listen within 10 seconds"
  cat "$work/log"
  exit 1
}

# Something to ask for: jobs that wait for a worker.
submit() {
  for job in 1 2 3; do
    printf '[job]\nname = "job %s"\nmodel = "demo"\n[[video]]\nprompt = "a red fox"\nsweep = { seed = [1, 2] }\n' "$job" >"$work/job.toml"
    "$1" submit --coordinator "$url" "$work/job.toml" >/dev/null
  done
}

# It still runs, and nothing of it has panicked.
lives() {
  kill -0 "$server" || { echo "the coordinator has ended"; tail -n 50 "$work/log"; exit 1; }
  if grep -n 'panicked' "$work/log"; then exit 1; fi
}
