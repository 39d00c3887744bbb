#!/usr/bin/env bash
# Runs the checks and tests in the pinned environment:  bash launch/test.sh [arguments of pytest]
# bash launch/test.sh --survival [arguments of tests.survival]  injects thousands of faults instead, and prints a table.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh test
if [ "${1:-}" = --survival ]; then
  shift
  exec .venv/bin/python -m tests.survival "$@"
fi
.venv/bin/ruff check bert_jax experiments tests setup.py  # not what users put beside them
.venv/bin/ruff format --check bert_jax experiments tests setup.py
.venv/bin/pyrefly check
.venv/bin/python -m pytest -n 2 --dist loadfile "$@"  # what tests of a file share is made once
