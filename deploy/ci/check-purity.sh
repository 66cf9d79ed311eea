#!/usr/bin/env bash
# What crates may know. Invariant 1: the scheduler, sampling, roofline and types know no runtime, wire, tensor library, clock,
# randomness, environment or file system. And a client needs no tensor library, database, encoder or tokenizer; a
# coordinator no tensor library.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail=0
# without PATTERN CRATE [ARGUMENTS]: the crate depends on nothing of these names.
without() {
  local tree bad
  tree=$(cargo tree --locked -p "$2" "${@:3}" -e normal --prefix none) || { fail=1; return; }
  if bad=$(grep -E "^($1) " <<<"$tree"); then
    echo "$2 depends on: $bad"; fail=1
  fi
}
for crate in scheduler sampling types roofline; do
  without 'tokio|tonic|prost|candle[a-z-]*|rand[a-z_]*|getrandom|chrono|time|rustix|libc|mio|memmap2' "wanfarm-$crate"
done
heavy='candle[a-z-]*|rusqlite|openh264|tokenizers'
for crate in weights image manifest client; do
  without "$heavy" "wanfarm-$crate"
done
without "$heavy" coordinator --no-default-features
without 'candle[a-z-]*|tokenizers' wanfarm-server
without 'candle[a-z-]*|tokenizers' wanfarm-http
pattern='std::(fs|env|net|process|thread)\b|SystemTime|std::time::Instant|Instant::now|HashMap|HashSet'
if grep -rnE "$pattern" shared/types/src shared/sampling/src shared/roofline/src coordinator/scheduler/src --include='*.rs' | grep -vE '//|#\[cfg\(test\)\]'; then
  echo "a pure crate names something impure (above)"; fail=1
fi
exit $fail
