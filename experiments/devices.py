"""Flags that say which devices a script runs on, and the start of JAX's distributed runtime from them.

    --num_cpu_devices=8                                         this process alone, on simulated devices
    --coordinator=HOST:PORT --num_processes=2 --process_id=0    one of several processes, told by hand
    --distributed                                               the same, told by SLURM, a TPU pod or Kubernetes

`start()` comes before everything that asks JAX for a device.
"""

import os

import jax
from absl import flags

from bert_jax.errors import ConfigError

_NUM_CPU_DEVICES = flags.DEFINE_integer(
    "num_cpu_devices", None, "Simulate so many devices on this process' CPU.", lower_bound=1
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT that process 0 listens on; the same for all.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes train together.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this one is, from 0.", lower_bound=0)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Train together with the other processes that SLURM, a TPU pod or Kubernetes has started."
)

# A process that is killed, or whose machine is, stops answering: the others end after so long, with an error.
HEARTBEAT_SECONDS = 30
# A process that ends before the others, which is a failure, holds them up for so long.
SHUTDOWN_SECONDS = 20
# Simulated devices meet in each collective, and XLA aborts when one has not come after 40 seconds. On fewer cores than
# devices one may wait for longer than that just for its turn, beside a compilation for example.
STARVED_SECONDS = 600
XLA_FLAGS = (
    f"--xla_cpu_collective_call_warn_stuck_timeout_seconds={STARVED_SECONDS // 2}",
    f"--xla_cpu_collective_call_terminate_timeout_seconds={STARVED_SECONDS}",
)


def start() -> None:
    """Makes JAX's devices what the flags say, and joins the other processes where there are some.

    Raises:
      ConfigError: flags that do not go together, or other processes that cannot be reached.
    """
    coordinator, count, index = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
    given = {"coordinator": coordinator, "num_processes": count, "process_id": index}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    by_hand = not missing
    if missing and len(missing) < len(given):
        raise ConfigError(
            f"--coordinator, --num_processes and --process_id go together: give {' and '.join(missing)} too."
        )
    if by_hand and _DISTRIBUTED.value:
        raise ConfigError("Give --distributed or --coordinator, not both: the one finds out what the other one says.")
    if by_hand and not (index < count and coordinator.rpartition(":")[0] and coordinator.rpartition(":")[2].isdigit()):
        raise ConfigError(
            f"--coordinator={coordinator} --num_processes={count} --process_id={index}: the first is HOST:PORT, the"
            f" last lies below --num_processes."
        )
    if _NUM_CPU_DEVICES.value is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _NUM_CPU_DEVICES.value)
    # The user's own flags come last and win; flags of the CPU mean nothing to other devices.
    os.environ["XLA_FLAGS"] = " ".join([*XLA_FLAGS, os.environ.get("XLA_FLAGS", "")]).strip()
    if by_hand or _DISTRIBUTED.value:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        told = {"coordinator_address": coordinator, "num_processes": count, "process_id": index} if by_hand else {}
        try:
            jax.distributed.initialize(
                **told,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            mend = (
                f"is process 0 running, and can {coordinator} be reached from here?"
                if by_hand
                else "outside of SLURM, a TPU pod or Kubernetes give --coordinator, --num_processes and --process_id."
            )
            raise ConfigError(f"The processes cannot be joined ({reason}): {mend}") from error
