import pytest

from bert_jax.errors import TokenizerError
from bert_jax.interop.token_limit import token_limit

SENTENCE, CONFIG = "sentence_bert_config.json", "tokenizer_config.json"


def test_the_smallest_stated_limit_counts():
    mini_lm = {SENTENCE: b'{"max_seq_length": 256}', CONFIG: b'{"model_max_length": 512}', "tokenizer.json": b"{"}
    assert token_limit(mini_lm, 512) == 256
    assert token_limit({CONFIG: b'{"model_max_length": 1000000000000000019884624838656}'}, 514) == 514
    assert token_limit({CONFIG: b'{"model_max_length": 1e30}'}, None) is None
    assert token_limit({CONFIG: b'{"model_max_length": 128}', SENTENCE: b"{}"}, 512) == 128
    assert token_limit({}, 64) == 64


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b'{"max_seq_length": 0}', b'{"max_seq_length": "8"}',
                                     b'{"max_seq_length": true}', b'{"max_seq_length": NaN}'])  # fmt: skip
def test_damaged_files_are_said(content):
    with pytest.raises(TokenizerError, match=r"sentence_bert_config\.json"):
        token_limit({SENTENCE: content}, 512)
