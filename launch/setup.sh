#!/usr/bin/env bash
# Creates .venv with the versions in constraints.txt:  bash launch/setup.sh [EXTRAS]     (extras of setup.py: test, ...)
# Does nothing if that is done already. PYTHON chooses another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-}"

fitting() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }
# An environment whose creation was interrupted has no pip, or a Python that does not fit: it is created again.
if ! { fitting .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
  for python in ${PYTHON:-python3 python3.12 python3.11}; do
    fitting "$python" && break
    python=""
  done
  if [ -z "$python" ]; then
    echo "error: Python 3.11 or 3.12 is needed: install one, or give its path, as in PYTHON=/path/to/python3.12." >&2
    exit 1
  fi
  rm -rf .venv
  "$python" -m venv .venv || {
    rm -rf .venv
    echo "error: $python cannot create a virtual environment: install its venv module (Debian: python3-venv)." >&2
    exit 1
  }
fi

# The mark records which state of these files was installed; a change to them removes it.
state="$(cat setup.py constraints.txt pyproject.toml | sha256sum | cut -c1-16)"
mark=".venv/installed-$state-${extras:-core}"
if [ ! -e "$mark" ]; then
  find .venv -maxdepth 1 -name 'installed-*' ! -name "installed-$state-*" -delete
  echo "installing bert_jax${extras:+[$extras]} into .venv" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable ".${extras:+[$extras]}"
  touch "$mark"
fi
