"""`AutoTokenizer` on the files that we write, against our ids."""

import json
import random
import unicodedata

import pytest

pytest.importorskip("torch", reason="the parity tests compare with transformers: pip install torch transformers")
transformers = pytest.importorskip("transformers", reason="the parity tests compare: pip install torch transformers")

import jax  # noqa: E402

import bert_jax  # noqa: E402
from bert_jax.corpus.builder.prepare import prepare_corpus  # noqa: E402
from bert_jax.interop.tokenizer_files import hugging_face_tokenizer_files  # noqa: E402
from bert_jax.model.config import ModelConfig  # noqa: E402
from bert_jax.objectives.masked_words import MaskedWords  # noqa: E402
from bert_jax.pretrained import Pretrained  # noqa: E402
from bert_jax.tokenization import WordPieceTokenizer, training  # noqa: E402
from tests.interop.rows import padded_batch, random_params  # noqa: E402
from tests.model import composites  # noqa: E402
from tests.tokenization import modern, samples  # noqa: E402

LETTERS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
PROSE = [
    "Élan, naïve Ærø! ΟΔΟΣ ΟΔΥΣΣΕΥΣ, straße",
    "月が出た。 東京 한국어",
    "Привет, мир (йод)",
    "हिन्दी में नमस्ते",
    "café ÀÉ",
]


@pytest.fixture(
    params=["uncased", "cased", "accents", "whole_cjk", "unigram", "unigram_cased", "bpe", "bytes", "bytes_uncased"]
)
def tokenizer(request):
    text = [*samples.sentences(), *PROSE * 20]
    if request.param.startswith("bytes"):
        return training.train_byte_level(text, 600, lowercase="uncased" in request.param, reserved_slots=2)
    if request.param.startswith(("unigram", "bpe")):
        kind = request.param.partition("_")[0]
        return training.train_sentencepiece(
            text, 300, model_type=kind, lowercase="cased" not in request.param, character_coverage=1.0, reserved_slots=2
        )
    characters = sorted({c for line in PROSE for form in ("NFC", "NFD") for c in unicodedata.normalize(form, line)})
    characters = sorted({*characters, *"".join(characters).lower(), *LETTERS[::97]} - {" "})
    pieces = (*samples.FIVE, *dict.fromkeys(c for c in characters if c.strip()), *("##" + c for c in characters))
    options = {"uncased": (True,), "cased": (False,), "accents": (True, False), "whole_cjk": (True, None, False)}
    return WordPieceTokenizer(tuple(dict.fromkeys(pieces)), *options[request.param])


@pytest.fixture
def theirs(tokenizer, tmp_path):
    for name, content in hugging_face_tokenizer_files(tokenizer, 128).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    return transformers.AutoTokenizer.from_pretrained(tmp_path)


def texts():
    rng = random.Random(0)
    yield from (line.partition(", [MASK]")[0] for line in samples.sentences(50))
    yield from PROSE
    yield from (unicodedata.normalize("NFD", line) for line in PROSE)
    yield from (
        "",
        " ",
        "  the  cat ",
        "\t the\r\ncat\x01",
        "▁a",
        "a▁",
        "▁",
        "\u200b the",
        "［MASK",
        "[unused0]",
        "aaaaaa",
    )
    words = [word for line in PROSE for word in line.split()]
    for i in range(0, len(LETTERS), 50):
        yield " ".join(f"{c} a{c}b" for c in LETTERS[i : i + 50])
    for _ in range(2000):
        yield "".join(rng.choice([" ", rng.choice(words), rng.choice("abcdeéÉΣ,.")]) for _ in range(12))


def test_ids_are_ours(tokenizer, theirs):
    plain = [text for text in texts() if not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    ours = tokenizer.encode_batch(plain)
    found = theirs(plain, add_special_tokens=False)["input_ids"]
    wrong = [ascii(text) for text, a, b in zip(plain, ours, found, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(plain)}: {wrong[:3]}"


def test_the_frame_the_names_and_the_mask(tokenizer, theirs):
    expected = [tokenizer.cls_id, *tokenizer.encode_masked("the [MASK] cat"), tokenizer.sep_id]
    assert theirs("the [MASK] cat")["input_ids"] == expected
    assert theirs("the", "cat")["token_type_ids"][-1] == 1
    assert theirs.model_max_length == 128
    assert (theirs.pad_token_id, theirs.unk_token_id) == (tokenizer.pad_id, tokenizer.unk_id)
    assert (theirs.mask_token_id, len(theirs)) == (tokenizer.mask_id, tokenizer.vocab_size)


def test_a_corpus_of_bytes_serves_a_model_its_extension_and_its_export(jsonl_files, tmp_path):
    corpus = prepare_corpus(
        f"jsonl:{jsonl_files}",
        tmp_path / "corpus",
        tokenizer="bpe",
        vocab_size=320,
        reserved_slots=2,
        validation_fraction=0.1,
        num_workers=1,
        progress=lambda line: None,
    )
    assert not corpus.train.token_counts[corpus.tokenizer.unk_id]
    config = ModelConfig(
        vocab_size=320, num_layers=1, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=40
    )
    params = random_params(composites.pretraining(config), padded_batch(config, [12, 7], 12, 3))
    params = jax.device_put({name: params[name] for name in ("bert", "mlm")})
    Pretrained("", config, (MaskedWords(),), params, corpus.tokenizer, 40).save_checkpoint(tmp_path / "own")
    model = bert_jax.load(tmp_path / "own")
    assert model.tokenizer.sha256 == corpus.tokenizer.sha256
    guesses = model.fill_mask("The [MASK] is here.")[0]
    assert len(guesses) == 5
    model.save_huggingface(tmp_path / "exported")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert bert_jax.load(tmp_path / "exported").fill_mask("The [MASK] is here.")[0][0].word == guesses[0].word
    for text in modern.NASTY:
        frame = [model.tokenizer.cls_id, *model.tokenizer.encode(text), model.tokenizer.sep_id]
        assert theirs(text)["input_ids"] == frame, text
    assert theirs("The [MASK] is.")["input_ids"][1:-1] == model.tokenizer.encode_masked("The [MASK] is.")


def test_a_model_without_token_types_gets_none():
    tokenizer = samples.trained_bytes()
    for token_types in (True, False):
        config = hugging_face_tokenizer_files(tokenizer, token_types=token_types)["tokenizer_config.json"]
        assert ("token_type_ids" in json.loads(config)["model_input_names"]) is token_types
