#!/usr/bin/env bash
# The Python package: its types, and its tests against a coordinator and workers that render the demo; and what is exported
# for other render managers, checked and rendered by the tool of Open Job Description.
# Usage: check-python.sh COORDINATOR, the program.
set -euo pipefail
WANFARM_PROGRAM=$(realpath "$1")
export WANFARM_PROGRAM
cd "$(dirname "$0")/../python"
tools=${XDG_CACHE_HOME:-$HOME/.cache}/wanfarm-ci/python
packages=(httpx==0.28.1 blake3==1.0.11 mypy==2.4.1 ruff==0.17.6 pytest==9.2.0 pytest-xdist==3.8.0 openjd-cli==0.8.0)
if [[ $(cat "$tools/packages" 2>/dev/null) != "${packages[*]}" ]]; then
  rm -rf "$tools"
  pip3 install --quiet --target "$tools" "${packages[@]}"
  echo "${packages[*]}" >"$tools/packages"
fi
export PYTHONPATH=$tools PYTHONDONTWRITEBYTECODE=1 MYPY_CACHE_DIR=$tools/mypy RUFF_NO_CACHE=true
PATH=$PATH:$tools/bin
ruff check --quiet
ruff format --quiet --check
python3 -m mypy --no-error-summary
# Several at a time: most of them wait.
timeout 300 python3 -m pytest -n 4
