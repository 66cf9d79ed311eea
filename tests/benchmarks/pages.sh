#!/usr/bin/env bash
# How the pages of a large farm feel in Chromium: when something is first seen, when the lists are there, how long frames take
# while they are scrolled through, and how much memory that takes, with every change told live meanwhile.
#
#     cargo build --release && cargo build --release -p wanfarm-tests --example horde
#     tests/benchmarks/pages.sh [BINARIES] [WORKERS] [VIDEOS] [MILLISECONDS_PER_STEP]
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-target/release}; workers=${2:-1000}; videos=${3:-10000}; pace=${4:-10000}
source tests/benchmarks/pretended.sh
python3 tests/benchmarks/pages.py "$WANFARM_COORDINATOR" "$workers" "$videos"
