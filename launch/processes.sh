#!/usr/bin/env bash
# One run as several processes of this machine. On a cluster every host starts it with one process and the flags of that cluster.
#   WORKDIR=runs/mini CORPUS=corpora/mine CONFIG=experiments/configs/mini.py NUM_PROCESSES=2 DEVICES_PER_PROCESS=4 \
#     bash launch/processes.sh [FLAGS of experiments.pretrain]
# DEVICES_PER_PROCESS simulates that many CPU devices in each process; GPUS_PER_PROCESS gives each its own GPUs instead;
# without both a process uses all that it finds. DRY_RUN=1 prints the commands. Ends with 0: finished; 143 or 130: told
# to stop, saved, and the same command goes on; else the code of the first process that failed: the others are ended,
# after GRACE_SECONDS by force. PORT chooses where they meet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${WORKDIR:?is the folder of the run}" "${CORPUS:?is a prepared corpus}" "${CONFIG:?is one of experiments/configs/*.py}"
[ -x .venv/bin/python ] || [ -n "${DRY_RUN:-}" ] || { echo "error: no .venv here: bash launch/setup.sh makes it." >&2 && exit 1; }
num_processes="${NUM_PROCESSES:-1}" gpus="${GPUS_PER_PROCESS:-0}"
port="${PORT:-$((20000 + $$ % 10000))}"
while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done # somebody answers there

code=0 deadline="" printers=()
declare -A left=() # process id to number
# shellcheck disable=SC2317 # reached through the traps
stop() {
  [ "$code" != 0 ] || code="$1"
  [ "${#left[@]}" = 0 ] || kill -TERM "${!left[@]}" 2>/dev/null || true
}
trap 'stop 143' TERM HUP
trap 'stop 130' INT

set -m # process groups of their own: Ctrl-C reaches the processes once, through `stop`
for ((i = 0; i < num_processes && code == 0; i++)); do
  command=(.venv/bin/python -m experiments.pretrain --config="$CONFIG" --workdir="$WORKDIR" --config.data.corpus="$CORPUS")
  [ "$num_processes" = 1 ] || command+=("--coordinator=127.0.0.1:$port" "--num_processes=$num_processes" "--process_id=$i")
  [ -z "${DEVICES_PER_PROCESS:-}" ] || command+=("--num_cpu_devices=$DEVICES_PER_PROCESS")
  [ "$gpus" = 0 ] || command=(env "CUDA_VISIBLE_DEVICES=$(seq -s, $((i * gpus)) $((i * gpus + gpus - 1)))" "${command[@]}")
  command=(setpriv --pdeathsig=TERM "${command[@]}" "$@") # no orphans, even if this script is killed
  [ -z "${DRY_RUN:-}" ] || { printf '%q ' "${command[@]}" && echo && continue; }
  exec {output}> >(trap '' TERM HUP INT && exec sed -u "s/^/[$i] /")
  printers+=($!)
  "${command[@]}" >&"$output" 2>&1 </dev/null &
  left[$!]="$i"
  exec {output}>&-
done
set +m

while [ "${#left[@]}" -gt 0 ]; do # `wait -n` misses a process that ended before it was asked
  for pid in "${!left[@]}"; do
    ! kill -0 "$pid" 2>/dev/null || continue
    status=0 && wait "$pid" 2>/dev/null || status=$?
    [ "$status" = 0 ] || echo "process ${left[$pid]} ended with code $status" >&2
    unset "left[$pid]"
    [ "$code" != 0 ] || code="$status"
    [ "$status" = 0 ] || [ "$status" = 143 ] || [ -n "$deadline" ] || [ "${#left[@]}" = 0 ] ||
      { deadline=$((SECONDS + ${GRACE_SECONDS:-30})) && kill -TERM "${!left[@]}" 2>/dev/null; } || true
  done
  # What hangs in a collective does not hear SIGTERM.
  [ -z "$deadline" ] || [ "$SECONDS" -lt "$deadline" ] || for pid in "${!left[@]}"; do kill -KILL -- "-$pid" || true; done
  [ "${#left[@]}" = 0 ] || { sleep 0.2 & wait "$!" || true; } # in the background: Ctrl-C that ends it would come again
done
[ -n "${DRY_RUN:-}" ] || wait "${printers[@]}"
exit "$code"
