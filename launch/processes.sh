#!/usr/bin/env bash
# One run as several processes on this machine. On a cluster, every host starts it with one process and that cluster's flags.
#   WORKDIR=runs/mini CORPUS=corpora/mine CONFIG=experiments/configs/sizes.py:mini NUM_PROCESSES=2 DEVICES_PER_PROCESS=4 \
#     bash launch/processes.sh [FLAGS of experiments.pretrain]
# DEVICES_PER_PROCESS simulates that many CPU devices in each process; GPUS_PER_PROCESS gives each its own GPUs instead;
# without either, a process uses all devices it finds. PORT sets where they meet. DRY_RUN=1 prints the commands.
# Exit codes: 0 finished; 143 or 130 stopped and saved, the same command resumes; otherwise that of the first process
# that failed: the others are then stopped, after GRACE_SECONDS by force.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${WORKDIR:?must be set: the run folder}" "${CORPUS:?must be set: a prepared corpus}" "${CONFIG:?must be set: one of experiments/configs/*.py}"
[ -x .venv/bin/python ] || [ -n "${DRY_RUN:-}" ] || { echo "error: there is no .venv here: run bash launch/setup.sh." >&2 && exit 1; }
num_processes="${NUM_PROCESSES:-1}" gpus="${GPUS_PER_PROCESS:-0}" port="${PORT:-$((20000 + $$ % 10000))}" grace=300
[[ " $*" =~ .*\ --?grace_seconds[=\ ]([0-9]+) ]] && grace="${BASH_REMATCH[1]}" # as the last of them says
while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done # the port is taken

code=0 deadline="" printers=()
declare -A left=() # process id to number
# shellcheck disable=SC2317 # reached through the traps
stop() {
  [ "$code" != 0 ] || code="$1"; deadline="${deadline:-$((SECONDS + ${STOP_SECONDS:-$((grace + 30))}))}"
  [ "${#left[@]}" = 0 ] || kill -TERM "${!left[@]}" 2>/dev/null || true
}
trap 'stop 143' TERM HUP
trap 'stop 130' INT

set -m # own process groups: Ctrl-C reaches the processes once, through `stop`
for ((i = 0; i < num_processes && code == 0; i++)); do
  command=(.venv/bin/python -m experiments.pretrain --config="$CONFIG" --workdir="$WORKDIR" --config.data.corpus="$CORPUS")
  [ "$num_processes" = 1 ] || command+=("--coordinator=127.0.0.1:$port" "--num_processes=$num_processes" "--process_id=$i")
  [ -z "${DEVICES_PER_PROCESS:-}" ] || command+=("--num_cpu_devices=$DEVICES_PER_PROCESS")
  [ "$gpus" = 0 ] || command=(env "CUDA_VISIBLE_DEVICES=$(seq -s, $((i * gpus)) $((i * gpus + gpus - 1)))" "${command[@]}")
  command=(setpriv --pdeathsig=TERM "${command[@]}" "$@") # leaves no orphans, even if this script is killed
  [ -z "${DRY_RUN:-}" ] || { printf '%q ' "${command[@]}" && echo && continue; }
  exec {output}> >(trap '' TERM HUP INT && exec sed -u "s/^/[$i] /")
  printers+=($!)
  "${command[@]}" >&"$output" 2>&1 </dev/null &
  left[$!]="$i"
  exec {output}>&-
done
set +m

while [ "${#left[@]}" -gt 0 ]; do # `wait -n` misses processes that have already exited
  for pid in "${!left[@]}"; do
    ! kill -0 "$pid" 2>/dev/null || continue
    status=0 && wait "$pid" 2>/dev/null || status=$?
    [ "$status" = 0 ] || echo "process ${left[$pid]} exited with code $status" >&2
    unset "left[$pid]"
    [ "$code" != 0 ] || code="$status"
    [ "$status" = 0 ] || [ "$status" = 143 ] || [ -n "$deadline" ] || [ "${#left[@]}" = 0 ] ||
      { deadline=$((SECONDS + ${GRACE_SECONDS:-30})) && kill -TERM "${!left[@]}" 2>/dev/null; } || true
  done
  # A process that hangs in a collective does not react to SIGTERM.
  [ -z "$deadline" ] || [ "$SECONDS" -lt "$deadline" ] || for pid in "${!left[@]}"; do kill -KILL -- "-$pid" || true; done
  [ "${#left[@]}" = 0 ] || { sleep 0.2 & wait "$!" || true; } # in the background: a foreground sleep ended by Ctrl-C raises it again
done
[ -n "${DRY_RUN:-}" ] || wait "${printers[@]}"
exit "$code"
