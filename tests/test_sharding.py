import pytest

from bert_jax.errors import ConfigError
from bert_jax.sharding import MeshConfig, make_mesh


def test_one_device_takes_any_axis_of_one():
    assert dict(make_mesh(MeshConfig()).shape) == {"data": 1, "fsdp": 1, "tensor": 1}


def test_a_mesh_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="does not fit 1 device"):
        make_mesh(MeshConfig(data=1, fsdp=2))
    assert MeshConfig(data=-1, fsdp=-1).problems()
    assert MeshConfig(tensor=0).problems()
