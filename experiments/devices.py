"""Flags that choose the devices of a script, and the start of JAX's distributed runtime.

    --num_cpu_devices=8                                         this process alone, on simulated devices
    --coordinator=HOST:PORT --num_processes=2 --process_id=0    one of several processes, configured by hand
    --distributed                                               the same, configured by SLURM, a TPU pod or Kubernetes

Call `start()` before anything that uses JAX devices.
"""

import os
from typing import Any

import jax
from absl import flags

from bert_jax.errors import ConfigError

_NUM_CPU_DEVICES = flags.DEFINE_integer(
    "num_cpu_devices", None, "Number of devices to simulate on the CPU of this process.", lower_bound=1
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT that process 0 listens on; the same in all processes."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes that train together.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, from 0.", lower_bound=0)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Train together with the other processes that SLURM, a TPU pod or Kubernetes started."
)

# If a process or its machine dies, the other processes end with an error after this time.
HEARTBEAT_SECONDS = 30
# A process that ends early, which is a failure, holds up the others for this long.
SHUTDOWN_SECONDS = 20
# Simulated devices meet in each collective, and XLA aborts if one does not arrive within 40 seconds. With fewer cores
# than devices, it may wait longer than that for its turn, for example during a compilation.
STARVED_SECONDS = 600
XLA_FLAGS = (
    f"--xla_cpu_collective_call_warn_stuck_timeout_seconds={STARVED_SECONDS // 2}",
    f"--xla_cpu_collective_call_terminate_timeout_seconds={STARVED_SECONDS}",
)


def start() -> None:
    """Configures JAX's devices as the flags say, and joins the other processes, if any.

    Raises:
      ConfigError: the flags do not go together, or the other processes cannot be reached.
    """
    coordinator, count, index = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
    given = {"coordinator": coordinator, "num_processes": count, "process_id": index}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    by_hand: dict[str, Any] = {}
    if missing and len(missing) < len(given):
        raise ConfigError(
            f"--coordinator, --num_processes and --process_id go together: give {' and '.join(missing)} too."
        )
    if coordinator is not None and count is not None and index is not None:
        if _DISTRIBUTED.value:
            raise ConfigError(
                "Give --distributed or --coordinator, not both: --distributed finds the coordinator by itself."
            )
        host, _, port = coordinator.rpartition(":")
        if not (index < count and host and port.isdigit()):
            raise ConfigError(
                f"--coordinator={coordinator} --num_processes={count} --process_id={index}: the first must be"
                f" HOST:PORT, and the last below --num_processes."
            )
        by_hand = {"coordinator_address": coordinator, "num_processes": count, "process_id": index}
    if _NUM_CPU_DEVICES.value is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _NUM_CPU_DEVICES.value)
    # The user's own flags come last and take precedence. Other devices ignore flags of the CPU.
    os.environ["XLA_FLAGS"] = " ".join([*XLA_FLAGS, os.environ.get("XLA_FLAGS", "")]).strip()
    if by_hand or _DISTRIBUTED.value:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            jax.distributed.initialize(
                **by_hand,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            fix = (
                f"is process 0 running, and can {coordinator} be reached from here?"
                if by_hand
                else "outside of SLURM, a TPU pod or Kubernetes, give --coordinator, --num_processes and --process_id."
            )
            raise ConfigError(f"Could not join the other processes ({reason}): {fix}") from error
