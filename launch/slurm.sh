#!/usr/bin/env bash
# One run as a SLURM job, from the repository's root on a file system that all nodes share, after `bash launch/setup.sh cuda`:
#   WORKDIR=runs/base CORPUS=corpora/mine CONFIG=experiments/configs/base.py sbatch --nodes=4 launch/slurm.sh [FLAGS of experiments.pretrain]
# Options of sbatch on its command line win over those below. DRY_RUN=1 bash launch/slurm.sh prints what the job would do.
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
# One task a GPU: jax.distributed gives a SLURM task the one device of its SLURM_LOCALID, so one task a node would leave the
# other GPUs idle. Each task must see all GPUs of its node (no --gpus-per-task, no --gpu-bind), or that number is not there.
set -euo pipefail
: "${WORKDIR:?is the folder of the run}" "${CORPUS:?is a prepared corpus}" "${CONFIG:?is one of experiments/configs/*.py}"
cd "${SLURM_SUBMIT_DIR:-$PWD}" # SLURM runs a copy of this file, from elsewhere
[ -e launch/slurm.sh ] || { echo "error: submit from the repository's root: sbatch launch/slurm.sh." >&2 && exit 1; }

step=(srun --kill-on-bad-exit=1 --label "--cpus-per-task=${SLURM_CPUS_PER_TASK:-8}") # srun does not inherit the last from sbatch
step+=(.venv/bin/python -m experiments.pretrain --config="$CONFIG" --workdir="$WORKDIR" --config.data.corpus="$CORPUS" --distributed "$@")
requeue=(scontrol requeue "${SLURM_JOB_ID:-JOB}")
if [ -n "${DRY_RUN:-}" ]; then
  grep '^#SBATCH' launch/slurm.sh
  printf '%q ' "${step[@]}" && echo
  echo "told to stop: ${requeue[*]}"
  exit
fi
[ -x .venv/bin/python ] || { echo "error: no .venv here: bash launch/setup.sh cuda makes it." >&2 && exit 1; }

# Before the time limit the batch shell alone is told (B:); srun passes a signal on to every task, once. Preempted tasks are
# told by SLURM itself and end with 143. Either way the job goes back to the queue, and the same command goes on.
stopped="" code=0
"${step[@]}" &
running=$!
trap 'stopped=1; kill -TERM "$running"' TERM
wait "$running" || code=$?
while kill -0 "$running" 2>/dev/null; do # the trap cut `wait` short; the tasks still save
  wait "$running" && code=0 || code=$?
done
[ -z "$stopped" ] || code=143
[ "$code" != 143 ] || ! "${requeue[@]}" || exit 0
exit "$code"
