#!/usr/bin/env bash
# What the coordinator tells for Prometheus is as that likes it; the alerts can be read, and say of some nights what they should.
# Usage: check-metrics.sh COORDINATOR, the program. With promtool (Debian: prometheus).
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")"
source ./start.sh
start "$program"
submit "$program"
python3 -c 'import sys, urllib.request as http; sys.stdout.buffer.write(http.urlopen(sys.argv[1]).read())' "$url/metrics" |
  promtool check metrics
lives
promtool check rules ../prometheus/alerts.yml
promtool test rules ../prometheus/alerts-test.yml
