#!/usr/bin/env bash
# Invariant 1: the scheduler, sampling and types know no runtime, wire, tensor library, clock, randomness,
# environment or file system. Checks what they depend on and what they name.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail=0
for crate in scheduler sampling types; do
  tree=$(cargo tree --locked -p "wanfarm-$crate" -e normal --prefix none)
  if bad=$(grep -E '^(tokio|tonic|prost|candle[a-z-]*|rand[a-z_]*|getrandom|chrono|time|rustix|libc|mio|memmap2) ' <<<"$tree"); then
    echo "wanfarm-$crate depends on: $bad"; fail=1
  fi
done
pattern='std::(fs|env|net|process|thread)\b|SystemTime|std::time::Instant|Instant::now|HashMap|HashSet'
if grep -rnE "$pattern" shared/types/src shared/sampling/src coordinator/scheduler/src --include='*.rs' | grep -vE '//|#\[cfg\(test\)\]'; then
  echo "a pure crate names something impure (above)"; fail=1
fi
exit $fail
