import pytest
from jax.sharding import PartitionSpec as P

from bert_jax.errors import ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.sharding import MeshConfig, make_mesh, mesh_problems, mesh_shape, partition

MESH = {"data": 2, "fsdp": 2, "tensor": 4}


def test_one_device_takes_any_axis_of_one():
    assert dict(make_mesh(MeshConfig()).shape) == {"data": 1, "fsdp": 1, "tensor": 1}


def test_a_mesh_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="does not fit 1 device"):
        make_mesh(MeshConfig(data=1, fsdp=2))
    assert MeshConfig(data=-1, fsdp=-1).problems()
    assert MeshConfig(tensor=0).problems()


def test_what_is_left_is_filled_in():
    assert mesh_shape(MeshConfig(data=-1, fsdp=2, tensor=2), 16) == {"data": 4, "fsdp": 2, "tensor": 2}
    assert mesh_shape(MeshConfig(data=2, fsdp=-1, tensor=2), 16) == {"data": 2, "fsdp": 4, "tensor": 2}


def test_all_problems_of_a_mesh_are_told_at_once():
    model = ModelConfig(hidden_size=90, num_heads=6, intermediate_size=50)
    found = mesh_problems(MeshConfig(data=1, fsdp=4, tensor=4), 8, model.cut_sizes)
    for part in ("does not fit 8", "model.hidden_size=90", "model.num_heads=6", "feed-forward width=50"):
        assert sum(part in sentence for sentence in found) == 1
    assert len(found) == 4
    assert not mesh_problems(MeshConfig(fsdp=2, tensor=4), 8, ModelConfig().cut_sizes)


@pytest.mark.parametrize(
    ("names", "shape", "expected"),
    [
        (("vocab", "embed"), (30_528, 768), P("tensor", "fsdp")),
        (("vocab", "embed"), (30_522, 768), P(None, ("fsdp", "tensor"))),  # the width takes what words cannot
        (("vocab",), (30_522,), P(None)),
        (("positions", "embed"), (514, 768), P(None, ("fsdp", "tensor"))),
        (("positions", "embed"), (514, 770), P(None, "fsdp")),  # 770 is no multiple of 8
        (("embed", "heads", "qkv", "head"), (768, 12, 3, 64), P("fsdp", "tensor", None, None)),
        (("embed", "labels"), (768, 2), P("fsdp", None)),
        ((), (), P()),
    ],
)
def test_every_device_gets_an_equal_part(names, shape, expected):
    assert partition(names, shape, MESH) == expected
