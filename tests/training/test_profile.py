import jax.numpy as jnp
import pytest

from bert_jax.errors import ConfigError
from bert_jax.training.profile import Profile, parse_steps


@pytest.mark.parametrize("text", ["5", "5:", ":5", "0:3", "4:3", "a:b", "1:2:3", "-1:2"])
def test_other_forms_are_refused(text):
    with pytest.raises(ConfigError, match="START:STOP"):
        parse_steps(text)


def test_none_is_no_trace(tmp_path):
    assert parse_steps(None) is None
    profile = Profile(None, tmp_path)
    profile.before(1)
    profile.after(1, jnp.ones(3))
    profile.close()
    assert not list(tmp_path.iterdir())


def test_the_steps_asked_for_are_traced(tmp_path):
    profile, traced = Profile(parse_steps("2:3"), tmp_path / "profiles"), []
    for step in range(1, 6):
        profile.before(step)
        traced.append(profile._tracing)
        profile.after(step, jnp.ones(3) * step)
    profile.close()
    assert traced == [False, True, True, False, False]
    assert list(tmp_path.rglob("*.xplane.pb"))
