#!/usr/bin/env bash
# One run as a SLURM job. Submit it from the repository's root, on a file system that all nodes share, after
# `bash launch/setup.sh cuda`:
#   WORKDIR=runs/base CORPUS=corpora/mine CONFIG=experiments/configs/sizes.py:base sbatch --nodes=4 launch/slurm.sh [FLAGS of experiments.pretrain]
# Options on sbatch's command line override those below. DRY_RUN=1 bash launch/slurm.sh prints what the job would do.
#SBATCH --job-name=bert_jax
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.out
# One task per GPU: jax.distributed gives a SLURM task only the device of its SLURM_LOCALID, so one task per node would leave
# the other GPUs idle. Each task must see all GPUs of its node (no --gpus-per-task, no --gpu-bind), or that device is missing.
set -euo pipefail
: "${WORKDIR:?must be set: the run folder}" "${CORPUS:?must be set: a prepared corpus}" "${CONFIG:?must be set: one of experiments/configs/*.py}"
cd "${SLURM_SUBMIT_DIR:-$PWD}" # SLURM runs a copy of this file from another folder
[ -e launch/slurm.sh ] || { echo "error: submit from the repository's root: sbatch launch/slurm.sh." >&2 && exit 1; }

step=(srun --kill-on-bad-exit=1 --label "--cpus-per-task=${SLURM_CPUS_PER_TASK:-8}") # srun does not inherit the last one from sbatch
step+=(.venv/bin/python -m experiments.pretrain --config="$CONFIG" --workdir="$WORKDIR" --config.data.corpus="$CORPUS" --distributed "$@")
requeue=(scontrol requeue "${SLURM_JOB_ID:-JOB}")
if [ -n "${DRY_RUN:-}" ]; then
  grep '^#SBATCH' launch/slurm.sh
  printf '%q ' "${step[@]}" && echo
  echo "when stopped, or hung: ${requeue[*]}"
  exit
fi
[ -x .venv/bin/python ] || { echo "error: there is no .venv here: run bash launch/setup.sh cuda." >&2 && exit 1; }

# Before the time limit, only the batch shell gets the signal (B:); srun passes it on to every task, once. Preempted tasks get
# it from SLURM itself and exit with 143. Either way the job is requeued, and the same command resumes. A job that hung (75) is
# requeued a limited number of times.
stopped="" code=0
"${step[@]}" &
running=$!
trap 'stopped=1; kill -TERM "$running"' TERM
wait "$running" || code=$?
while kill -0 "$running" 2>/dev/null; do # the trap interrupted `wait`; the tasks are still saving
  wait "$running" && code=0 || code=$?
done
[ -z "$stopped" ] || code=143
[ "$code" != 75 ] || [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_RESTARTS:-20}" ] || code=143
[ "$code" != 143 ] || ! "${requeue[@]}" || exit 0
exit "$code"
