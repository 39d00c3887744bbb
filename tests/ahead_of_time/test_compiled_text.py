"""What is read from compiled programs: real ones for simulated devices, and a TPU's text in small."""

import json
import subprocess
import sys

import pytest

from bert_jax.ahead_of_time import compiled_text

PROGRAM = """
import dataclasses, json
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from bert_jax.ahead_of_time import compiled_text

jax.config.update("jax_num_cpu_devices", 8)
mesh = jax.make_mesh((4, 2), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)

def compiled(function, *arguments):
    given = [jax.ShapeDtypeStruct(s, jnp.float32, sharding=NamedSharding(mesh, P(*spec))) for s, spec in arguments]
    text = jax.jit(function, out_shardings=NamedSharding(mesh, P())).lower(*given).compile().as_text()
    return dataclasses.asdict(compiled_text.count(text))

def loop(x, w):
    def body(total, part):
        y = jnp.tanh(part @ w)
        return total + y.T @ y, None
    return jax.lax.scan(body, jnp.zeros((64, 64)), x)[0]

def each(x):
    gathered = jax.lax.all_gather(x, "data", tiled=True)
    scattered = jax.lax.psum_scatter(gathered * 2, "data", tiled=True)
    passed = jax.lax.ppermute(scattered, "data", [(i, (i + 1) % 4) for i in range(4)])
    swapped = jax.lax.all_to_all(passed * 3, "data", 0, 0, tiled=True)
    return jax.lax.psum(swapped.sum(), ("data", "tensor"))

mapped = jax.shard_map(each, mesh=mesh, in_specs=P("data"), out_specs=P(), check_vma=False)
print(json.dumps([
    compiled(loop, ((3, 32, 128), (None, "data")), ((128, 64), ("tensor",))),
    compiled(mapped, ((32, 16), ("data",))),
]))
"""


@pytest.fixture(scope="module")
def counted():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_products_and_all_reduces_in_a_loop_count_each_time(counted):
    loop = counted[0]
    # A device has 8 of 32 rows and half of the 128 inputs: two products, whose sums are over 2 and over 4 devices.
    assert loop["flops"] == 3 * (2 * 8 * 64 * 64 + 2 * 64 * 8 * 64)
    first, second = 8 * 64 * 4, 64 * 64 * 4
    assert loop["collectives"] == {
        "all-reduce": {
            "count": 6,
            "bytes": 3 * (first + second),
            "sent": 3 * (2 * first * 1 / 2 + 2 * second * 3 / 4),
        }
    }
    assert loop["unknown_loops"] == 0
    # At least: the inputs once, the running sum in and out three times.
    assert 4 * (3 * 8 * 64 + 3 * 64 * 64) + 3 * 2 * second <= loop["traffic"] <= 40 * second


def test_each_kind_of_collective_is_told_with_what_a_device_sends(counted):
    whole, part = 32 * 16 * 4, 8 * 16 * 4
    found = {kind: (moved["bytes"], moved["sent"]) for kind, moved in counted[1]["collectives"].items()}
    assert found == {
        "all-reduce": (4, 2 * 7 / 8 * 4),
        "all-gather": (whole, 3 / 4 * whole),
        "reduce-scatter": (whole, 3 / 4 * whole),
        "all-to-all": (part, 3 / 4 * part),
        "collective-permute": (part, part),
    }


# As a TPU's compiler writes it: products are convolutions with batches as dilated axes, an asynchronous collective
# stands in two fusions, a reduce-scatter is a fusion, S(1) is memory on the chip, loops do not tell their length.
TPU = """HloModule jit_step, is_scheduled=true, num_partitions=8

%begin (p.0: bf16[32,128]) -> (bf16[128,128], u32[]) {
  %p.0 = bf16[32,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %all-gather.1 = bf16[128,128]{1,0} all-gather(%p.0), channel_id=7, replica_groups=[2,4]<=[4,2], fr={chain_id="0"}
  ROOT %start = (bf16[128,128]{1,0}, u32[]{:S(2)}) custom-call(%all-gather.1), custom_call_target="AsyncCollectiveStart"
}

%multiply (p.1: bf16[32,128], q.1: bf16[16,128,64], r.1: bf16[16,128,64]) -> bf16[16,128,128] {
  %p.1 = bf16[32,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %q.1 = bf16[16,128,64]{2,1,0:T(8,128)(2,1)} parameter(1)
  %r.1 = bf16[16,128,64]{2,1,0:T(8,128)(2,1)S(1)} parameter(2)
  %all-gather.2 = bf16[128,128]{1,0} all-gather(%p.1), channel_id=7, replica_groups=[2,4]<=[4,2], fr={chain_id="0"}
  ROOT %c = bf16[16,128,128]{1,2,0:S(1)} convolution(%q.1, %r.1), window={WINDOW}, dim_labels=0bf_0oi->0bf
}

%all-reduce-scatter (p.2: bf16[128,256]) -> bf16[32,256] {
  %p.2 = bf16[128,256]{1,0} parameter(0)
  %all-reduce.3 = bf16[128,256]{1,0} all-reduce(%p.2), replica_groups=mesh['a'=4,'b'=2] {'a'}, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %dynamic-slice.3 = bf16[32,256]{1,0} dynamic-slice(%all-reduce.3, %zero, %zero), dynamic_slice_sizes={32,256}
}

%body (s: (s32[], bf16[32,128], bf16[16,128,64])) -> (s32[], bf16[32,128], bf16[16,128,64]) {
  %s = (s32[]{:T(128)}, bf16[32,128]{1,0:S(1)}, bf16[16,128,64]{2,1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %w = bf16[32,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%s), index=1
  %x = bf16[16,128,64]{2,1,0:T(8,128)(2,1)} get-tuple-element(%s), index=2
  %f.1 = (bf16[128,128]{1,0:S(1)}, u32[]{:S(2)}) fusion(%w), kind=kCustom, calls=%begin
  %f.2 = bf16[16,128,128]{1,2,0:T(8,128)(2,1)S(1)} fusion(%w, %x, %x), kind=kOutput, calls=%multiply
  ROOT %t = (s32[], bf16[32,128]{1,0:S(1)}, bf16[16,128,64]{2,1,0}) tuple(%i, %w, %x)
}

%condition (c: (s32[], bf16[32,128], bf16[16,128,64])) -> pred[] {
  %five = s32[]{:T(128)} constant(5)
  %c = (s32[]{:T(128)}, bf16[32,128]{1,0:S(1)}, bf16[16,128,64]{2,1,0}) parameter(0)
  %n = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %lt = pred[]{:T(512)} compare(%n, %five), direction=LT
}

ENTRY %main (a: (s32[], bf16[32,128], bf16[16,128,64]), g: bf16[128,256]) -> bf16[32,256] {
  %a = (s32[], bf16[32,128]{1,0:S(1)}, bf16[16,128,64]{2,1,0}) parameter(0)
  %g = bf16[128,256]{1,0} parameter(1)
  %while.1 = (s32[], bf16[32,128]{1,0:S(1)}, bf16[16,128,64]{2,1,0}) while(%a), condition=%condition, body=%body
  %k = bf16[4,8]{1,0:S(1)} custom-call(), custom_call_target="tpu_custom_call", metadata={op_name="layer_0/attention"}
  ROOT %f.3 = bf16[32,256]{1,0} fusion(%g), kind=kCustom, calls=%all-reduce-scatter
}
""".replace("WINDOW", "size=16 stride=15 lhs_dilate=16")


def test_a_tpus_text_is_understood():
    counts = compiled_text.count(TPU)
    assert counts.flops == 5 * 2 * 16 * 128 * 128 * 64
    gathered, scattered = counts.collectives["all-gather"], counts.collectives["reduce-scatter"]
    assert (gathered.count, gathered.bytes, gathered.sent) == (5, 5 * 128 * 128 * 2, 5 * 128 * 128 * 2 * 3 / 4)
    assert (scattered.count, scattered.bytes, scattered.sent) == (1, 128 * 256 * 2, 128 * 256 * 2 * 3 / 4)
    assert list(counts.collectives) == ["all-gather", "reduce-scatter"]
    assert counts.attention == {"tpu_custom_call": 1}
    # In main memory are only the product's two operands, five times, and what the last fusion takes and gives.
    assert counts.traffic == 5 * 2 * (16 * 128 * 64 * 2) + 128 * 256 * 2 + 32 * 256 * 2
    assert counts.unknown_loops == 0


def test_a_loop_of_unknown_length_counts_once_and_is_told():
    counts = compiled_text.count(TPU.replace("direction=LT", "direction=NE"))
    assert counts.flops == 2 * 16 * 128 * 128 * 64
    assert counts.unknown_loops == 1


def test_a_loop_that_counts_in_twos_runs_half_as_often():
    added = "%two = s32[] constant(2)\n  %j = s32[]{:T(128)} add(%i, %two)\n  ROOT %t"
    counts = compiled_text.count(TPU.replace("ROOT %t", added).replace("tuple(%i, %w", "tuple(%j, %w"))
    assert counts.flops == 3 * 2 * 16 * 128 * 128 * 64  # 0, 2, 4
