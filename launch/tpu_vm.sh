#!/usr/bin/env bash
# One run on a Cloud TPU slice: creates it, copies the last commit, trains on all workers, again after a preemption, deletes it.
#   TPU_NAME=bert ZONE=europe-west4-b ACCELERATOR_TYPE=v5litepod-16 RUNTIME_VERSION=v2-alpha-tpuv5-lite \
#     WORKDIR=gs://bucket/runs/base CORPUS=gs://bucket/corpora/mine CONFIG=experiments/configs/sizes.py:base \
#     bash launch/tpu_vm.sh [FLAGS of experiments.pretrain]
# SPOT=1 asks for spot capacity, QUEUED=1 for a queued resource. DRY_RUN=1 prints the commands of one round. Run it where it
# can keep running: workers stop when their ssh connections do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${TPU_NAME:?must be set}" "${ZONE:?must be set}" "${ACCELERATOR_TYPE:?must be set, as v5litepod-16}" "${RUNTIME_VERSION:?must be set, as v2-alpha-tpuv5-lite}"
: "${WORKDIR:?must be set: the run folder}" "${CORPUS:?must be set: a prepared corpus}" "${CONFIG:?must be set: one of experiments/configs/*.py}"
[[ "$WORKDIR $CORPUS" == gs://*\ gs://* ]] ||
  { echo "error: WORKDIR and CORPUS must be in buckets (gs://...): all workers use them, and disks are deleted with the slice." >&2 && exit 1; }

run() { # prints a command, then runs it
  printf '%q ' "$@" && echo
  [ -n "${DRY_RUN:-}" ] || "$@"
}
tpus=(gcloud compute tpus) here=("$TPU_NAME" "--zone=$ZONE")
capacity=("--accelerator-type=$ACCELERATOR_TYPE" ${SPOT:+--spot})
creation=(tpu-vm create "${here[@]}" "${capacity[@]}" "--version=$RUNTIME_VERSION") deletion=(tpu-vm delete "${here[@]}" --quiet)
if [ -n "${QUEUED:-}" ]; then
  creation=(queued-resources create "${here[@]}" "--node-id=$TPU_NAME" "${capacity[@]}" "--runtime-version=$RUNTIME_VERSION")
  deletion=(queued-resources delete "${here[@]}" --force --quiet)
fi
state() { "${tpus[@]}" "$1" describe "${here[@]}" --format="value($2)" 2>/dev/null || echo GONE; }
delete() { run "${tpus[@]}" "${deletion[@]}"; }
create() { # from here on the slice belongs to this script, which deletes it whatever happens
  run "${tpus[@]}" "${creation[@]}" || return
  trap 'delete || true; rm -r "$(dirname "$archive")"' EXIT
  while [ -n "${QUEUED:-}" ] && [ -z "${DRY_RUN:-}" ]; do
    case "$(state queued-resources state.state)" in ACTIVE) return ;; FAILED | SUSPENDED | GONE) return 1 ;; *) sleep 30 ;; esac
  done
}
on_all() { run "${tpus[@]}" tpu-vm ssh "${here[@]}" --worker=all --command="$1"; }
# The images' Python is older than 3.11, so uv installs one.
prepare='mkdir -p bert_jax && tar -xf bert_jax.tar -C bert_jax && python3 -m pip install --quiet --user uv && python3 -m uv python install --quiet 3.12'
# shellcheck disable=SC2016 # expanded by the workers' shells
prepare+=' && PYTHON=$(python3 -m uv python find 3.12) bash bert_jax/launch/setup.sh tpu,gcs'
train="cd bert_jax && $(printf '%q ' "WORKDIR=$WORKDIR" "CORPUS=$CORPUS" "CONFIG=$CONFIG" bash launch/processes.sh --distributed "$@")"

archive="$(mktemp -d)/bert_jax.tar"
trap 'rm -r "$(dirname "$archive")"' EXIT
run git archive --output="$archive" HEAD; hangs=0
while true; do
  until create; do # no capacity is an error for the first request only
    [ -n "${again:-}" ] || exit 1
    delete || true
    sleep 300
  done
  code=0
  { run "${tpus[@]}" tpu-vm scp "$archive" "$TPU_NAME:bert_jax.tar" "--zone=$ZONE" --worker=all && on_all "$prepare" && on_all "$train"; } || code=$?
  [ "$code" != 0 ] || exit 0
  # 143: a worker was stopped; 255: it cannot be reached; 75: it hung. Otherwise, if the slice exists, the program failed.
  case "$code" in 143 | 255) ;; 75) [ "$((hangs += 1))" -le "${MAX_RESTARTS:-20}" ] || exit "$code" ;; *) sleep 60 && [ "$(state tpu-vm state)" != READY ] || exit "$code" ;; esac
  delete || true
  again=1
done
