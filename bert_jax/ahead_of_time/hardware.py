"""Published numbers of chips, and devices of such chips to compile for, whether or not the machine has them.

The numbers are upper bounds, as published by the makers. A program reaches less.
"""

import dataclasses
import importlib
import os
import re

import jax

from bert_jax.errors import ConfigError

_CLOUD = "https://docs.cloud.google.com/tpu/docs/"
GIB = 2**30
EXAMPLES = "v5e:16x16, v6e:4x4, v5p:4x4x4, v4:2x2x1 or gpu:h200"


@dataclasses.dataclass(frozen=True)
class Chip:
    """The published limits of a chip.

    Attributes:
      bfloat16, float32: floating-point operations per second in dense products. For float32, at JAX's default
        precision: bfloat16 passes on TPUs, TF32 on GPUs.
      memory: bytes of main memory.
      bandwidth: bytes per second to and from main memory.
      interconnect: bytes per second that leave the chip over all its links together, one way.
      source: where these numbers are published.
    """

    bfloat16: float
    float32: float
    memory: int
    bandwidth: float
    interconnect: float
    source: str

    def share(self, parts: int) -> "Chip":
        """Returns the limits of each device, for a chip that appears as `parts` devices."""
        numbers = {name: value for name, value in dataclasses.asdict(self).items() if name != "source"}
        parted = {name: value / parts for name, value in numbers.items()} | {"memory": self.memory // parts}
        return Chip(**parted, source=self.source)


# Cloud TPU's pages and NVIDIA's give the interconnect of both directions together: half of it leaves the chip.
CHIPS = {
    "v3": Chip(123e12, 123e12, 32 * GIB, 900e9, 4 * 656e9 / 8, f"{_CLOUD}v3; links: Jouppi et al. 2020, CACM 63(7)"),
    "v4": Chip(275e12, 275e12, 32 * GIB, 1200e9, 6 * 50e9, f"{_CLOUD}v4; links: Jouppi et al. 2023, arXiv 2304.01433"),
    "v5e": Chip(197e12, 197e12, 16 * GIB, 819e9, 400e9 / 2, f"{_CLOUD}v5e"),
    "v5p": Chip(459e12, 459e12, 95 * GIB, 2765e9, 1200e9 / 2, f"{_CLOUD}v5p"),
    "v6e": Chip(918e12, 918e12, 32 * GIB, 1638e9, 800e9 / 2, f"{_CLOUD}v6e"),
    "tpu7x": Chip(2307e12, 2307e12, 192 * GIB, 7380e9, 1200e9 / 2, f"{_CLOUD}tpu7x"),
    "h200": Chip(989e12, 494e12, 150_754_820_096, 4800e9, 900e9 / 2, "NVIDIA H200 data sheet (SXM, without sparsity)"),
}

# What XLA's compiler needs to know about a GPU, in its own format; the numbers are those that the device reports.
_GPU_TARGETS = {
    "h200": """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 150754820096
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200"
"""
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices to compile for.

    Attributes:
      devices: these cannot run anything.
      device: the limits of one of them; a chip may appear as several devices.
    """

    devices: list[jax.Device]
    device: Chip


def topology(name: str) -> Topology:
    """Returns the devices of a topology such as `v5e:16x16` or `gpu:h200`.

    Call it before this process uses any accelerator: from then on, JAX runs on the CPU.

    Raises:
      ConfigError: the topology is unknown, or the extra that it needs is not installed.
    """
    found = re.fullmatch(r"(?:(gpu):)?([a-z\d]+)(?::(\d[\dx]*)(?:_twisted|_untwisted)?)?", name)
    gpu, kind, size = found.groups() if found else (None, "", None)
    if kind not in CHIPS or bool(gpu) != (kind in _GPU_TARGETS) or not (size or gpu) or (gpu and "x" in (size or "")):
        raise ConfigError(f"--topology={name} is not known: give one such as {EXAMPLES}.")
    # The process only compiles, so it leaves this machine's accelerators to those who run on them.
    jax.config.update("jax_platforms", "cpu")
    devices = _gpus(name, kind, size or "1") if gpu else _tpus(name, size or "")
    coordinates = {tuple(device.coords) for device in devices if hasattr(device, "coords")}
    parts = len(devices) // len(coordinates) if coordinates else 1
    return Topology(devices, CHIPS[kind].share(parts))


def _tpus(name: str, size: str) -> list[jax.Device]:
    _require("libtpu", name, "tpu-aot")
    # Without these, libtpu asks the cloud's metadata server, and allows one process at a time.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    # Hosts have 2 × 2 chips, or fewer if the topology is smaller.
    sides = [min(2, int(side)) for side in size.split("x") if side]
    host = (*[*sides, 1, 1][:2], 1)
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=name, chips_per_host_bounds=host, num_slices=1
        ).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).split("\n")[0].split(": ", 1)[-1]
        raise ConfigError(
            f"--topology={name} is not known to libtpu ({reason}): give one such as {EXAMPLES}."
        ) from None


def _gpus(name: str, kind: str, size: str) -> list[jax.Device]:
    _require("jax_plugins.xla_cuda13", name, "gpu-aot")
    from jax.experimental import topologies

    return topologies.get_topology_desc(kind, "cuda", topology=f"1x1x{size}", target_config=_GPU_TARGETS[kind]).devices


def _require(module: str, name: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise ConfigError(
            f"--topology={name} needs the extra {extra}: install it with `bash launch/setup.sh {extra}`."
        ) from None
