#!/usr/bin/env bash
# What each step cache saves and what it costs, on the demo model: three videos of 20 steps, dense and with each cache, all
# rendered three times by one warm farm of worker processes with one thread each. Prints the transformers' passes that were
# computed, the seconds of denoising as the sidecars have them, and how like the dense videos the cached ones are.
#
#     cargo build --release -p coordinator
#     tests/benchmarks/caches.sh [FOLDER OF THE BINARIES]
#
# MagCache follows a curve calibrated here, for nobody has published one of the demo model. Needs jq.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${1:-target/release}/coordinator
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export WANFARM_LOG=error

cp -r deploy/demo/wan-tiny-t2v "$work/"
"$binary" calibrate "$work/wan-tiny-t2v" --shift 5 --prompt "a red circle moving right on a black background" \
  --prompt "a blue square moving up on a white background" >"$work/curve.txt"

: >"$work/address"
"$binary" serve --listen 127.0.0.1:0 --data "$work/data" --output "$work/output" >"$work/address" &
until grep -q http "$work/address"; do sleep 0.1; done
export WANFARM_COORDINATOR=$(grep -o 'http://.*' "$work/address")
for role in text-encoder dit-high,dit-low vae; do
  "$binary" worker --role $role --models "$work" --data "$work/$role" --threads 1 &
done

render() {   # NAME CACHE
  cat >"$work/m.toml" <<END
[job]
name = "$1"
model = "wan-tiny-t2v"
output = "{job}/{index}"
formats = ["png"]
[defaults]
steps = 20
shift = 5.0
guidance = 5.0
negative = ""
cache = $2
[[video]]
prompt = "a green triangle moving left on a gray background"
seed = 1
[[video]]
prompt = "an orange circle moving up on a black background"
seed = 2
[[video]]
prompt = "a purple square moving right on a white background"
seed = 3
END
  "$binary" submit --follow "$work/m.toml" >/dev/null 2>&1
}
# Of several renders the least: what else the machine does only ever adds.
seconds() {   # NAME
  for round in 1 2 3; do
    jq -s '[.[].attempts[] | select(.stage | startswith("denoise")) | .step_seconds[]] | add' "$work/output/$1-$round"/*.json
  done | sort -g | head -1
}
# Passes of the transformers that ran their blocks, of all.
passes() { jq -rs '[.[].passes[]] | "\(map(.computed) | add)/\(map(.computed + .skipped) | add)"' "$work/output/$1-1"/*.json; }

render warm '"none"'   # weights are in memory
printf '%-52s %8s %8s %8s %8s %8s %8s %8s\n' cache passes seconds faster SSIM worst PSNR worst
while IFS='|' read -r name cache; do
  for round in 1 2 3; do render "$name-$round" "$cache"; done
  seconds=$(seconds "$name"); dense=${dense:-$seconds}
  "$binary" compare "$work/output/dense-1" "$work/output/$name-1" --json >"$work/likeness.json"
  jq -r '[.ssim, .ssim_min, .psnr, ([.videos[].psnr_min | values] | min)] | map(. // "equal" | tostring) | join(" ")' "$work/likeness.json" |
    awk -v n="$cache" -v p="$(passes "$name")" -v s="$seconds" -v d="$dense" \
      '{ printf "%-52s %8s %8.2f %7.2fx %8.5s %8.5s %8.5s %8.5s\n", n, p, s, d/s, $1, $2, $3, $4 }'
done <<'END'
dense|"none"
mag|"magcache"
mag-wide|{ kind = "magcache", threshold = 0.12 }
mag-joint|{ kind = "magcache", joint = true }
tea|{ kind = "teacache", model = "linear", threshold = 0.3 }
cfg|"cfg-cache"
sen|"sencache"
sen-wide|{ kind = "sencache", tolerance = 0.3 }
END
