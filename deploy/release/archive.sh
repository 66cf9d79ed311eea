#!/usr/bin/env bash
# One archive to hand out, for machines of this kind: the program, its manual pages and completions, the demo, and what an
# operator needs. Beside it what the program is made of (SBOM, CycloneDX) and SHA-256 sums of both.
# Usage: archive.sh [OUT], a folder (default: dist). FEATURES=cuda builds for NVIDIA cards; a program built before is taken with
# PROGRAM=path.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
cd "$root"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
target=$(rustc -vV | sed -n 's/^host: //p')
program=${PROGRAM:-}
if [[ -z $program ]]; then
  cargo build --profile dist --locked -p coordinator ${FEATURES:+--features "$FEATURES"}
  program=${CARGO_TARGET_DIR:-target}/dist/coordinator
fi
name=wanfarm-$version-$target${FEATURES:+-$FEATURES}

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
into=$staging/$name
mkdir -p "$into/completions" "$into/deploy"
install -m 755 "$program" "$into/coordinator"
"$into/coordinator" man "$into/man" >/dev/null
for shell in bash zsh fish; do
  "$into/coordinator" completions "$shell" >"$into/completions/coordinator.$shell"
done
cp README.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$into"
cp -R deploy/README.md deploy/demo deploy/grafana deploy/launchd deploy/newsyslog deploy/prometheus deploy/systemd "$into/deploy"
rm -rf "$into/deploy/demo/train"

# The same files give the same archive: in order, of one owner and the time of the commit.
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
python3 - "$staging" "$name" "$out/$name.tar.gz" "$when" <<'PYTHON'
import gzip, sys, tarfile
from pathlib import Path

staging, name, archive, when = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


def plain(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = when
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


with open(archive, "wb") as file, gzip.GzipFile("", "wb", 9, file, when) as packed:
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted([staging / name, *(staging / name).rglob("*")]):
            tar.add(path, str(path.relative_to(staging)), recursive=False, filter=plain)
PYTHON

command -v cargo-sbom >/dev/null || cargo install --quiet --locked cargo-sbom --version '^0.10'
cargo sbom --cargo-package coordinator --output-format cyclone_dx_json_1_4 >"$out/$name.cdx.json"

cd "$out"
sum() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
sum "$name.tar.gz" "$name.cdx.json" >"$name.sha256"
cat "$name.sha256"
