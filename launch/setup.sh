#!/usr/bin/env bash
# Makes .venv with the versions of constraints.txt:  bash launch/setup.sh [EXTRAS]     (extras of setup.py: test, ...)
# Does nothing where that has been done. PYTHON chooses another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-}"

fitting() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }
if [ ! -x .venv/bin/python ]; then
  for python in ${PYTHON:-python3 python3.12 python3.11}; do
    fitting "$python" && break
    python=""
  done
  if [ -z "$python" ]; then
    echo "error: Python 3.11 or 3.12 is needed: install one, or name it, as in PYTHON=/path/to/python3.12." >&2
    exit 1
  fi
  "$python" -m venv .venv || {
    rm -rf .venv
    echo "error: $python cannot make a virtual environment: install its venv module (Debian: python3-venv)." >&2
    exit 1
  }
fi

mark=".venv/installed-${extras:-core}-$(cat setup.py constraints.txt pyproject.toml | sha256sum | cut -c1-16)"
if [ ! -e "$mark" ]; then
  echo "installing bert_jax${extras:+[$extras]} into .venv" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable ".${extras:+[$extras]}"
  touch "$mark"
fi
