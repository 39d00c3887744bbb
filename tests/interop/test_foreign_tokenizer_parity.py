"""Tokenizers of folders that `transformers` reads, with or without a `tokenizer.json`, against its ids."""

import functools
import io
import json
import random
import unicodedata

import numpy as np
import pytest
import sentencepiece
import tokenizers

pytest.importorskip("torch", reason="the parity tests compare with transformers: pip install torch transformers")
transformers = pytest.importorskip("transformers", reason="the parity tests compare: pip install torch transformers")

from bert_jax.data.texts import encode, packed_batches  # noqa: E402
from bert_jax.interop.tokenizer_files import hugging_face_tokenizer_files  # noqa: E402
from bert_jax.tokenization import WordPieceTokenizer, load_tokenizer  # noqa: E402
from tests.tokenization import modern, samples  # noqa: E402

PROSE = [
    "The cat sat on the mat. It's 12:30, isn't it?",
    "Élan, naïve Ærø! Οδύσσεια, straße",
    "月が出た。 東京 한국어",
    "Привет, мир (йод)",
    "हिन्दी में नमस्ते",
    "مرحبا بالعالم שלום ไทย",
    "café ÀÉ 🎉👩‍👩‍👧‍👦 ½ ﬁ Ⅷ",
]
ROBERTA_FIVE = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
# As in files of version 4: every special token, and what was added to the vocabulary.
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False}
WORD = {"content": "newword", **FLAGS, "normalized": True, "special": False}
SPEAKER = {"content": "<speaker>", **FLAGS, "normalized": False, "special": True}
ADDED = {"newword": 0, "two words": 1, "<speaker>": 2}
MAP = {"additional_special_tokens": ["<speaker>"]}


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


@functools.cache
def byte_level(mask="<mask>"):
    library = tokenizers.ByteLevelBPETokenizer()
    special = [*ROBERTA_FIVE[:4], mask]
    library.train_from_iterator([*PROSE * 20, *samples.sentences(50)], 700, special_tokens=special, show_progress=False)
    return json.loads(library.to_str())["model"]


@functools.cache
def unigram(**options):
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*PROSE * 20, *samples.sentences(50)]),
        model_writer=file,
        vocab_size=300,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return file.getvalue()


def roberta(folder, mask="<mask>", **config):
    model = byte_level(mask)
    merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"])
    write(folder, vocab__json=model["vocab"], merges__txt=merges.encode(), config__json={"model_type": "roberta"})
    write(folder, tokenizer_config__json={"tokenizer_class": "RobertaTokenizer"} | config)
    return len(model["vocab"])


def xlm(folder, kind="xlm-roberta", model=None, **config):
    content = model or unigram()
    write(folder, **{"sentencepiece__bpe__model": content}, config__json={"model_type": kind})
    if config:
        write(folder, tokenizer_config__json=config)
    count = sentencepiece.SentencePieceProcessor(model_proto=content).get_piece_size()
    return count + (5 if kind == "camembert" else 2)


def bert(folder, five=samples.FIVE, **config):
    characters = sorted({c for line in PROSE for form in ("NFC", "NFD") for c in unicodedata.normalize(form, line)})
    characters = sorted({*characters, *"".join(characters).lower(), *"abcdefghijklmnopqrstuvwxyz"} - {" "})
    pieces = [*five, *(c for c in characters if c.strip()), *("##" + c for c in characters), "cat", "the", "##at"]
    pieces = list(dict.fromkeys(pieces))
    write(folder, vocab__txt="\n".join([*pieces, ""]).encode(), config__json={"model_type": "bert"})
    write(folder, tokenizer_config__json={"do_lower_case": True} | config)
    return len(pieces)


def with_legacy_files(folder, make, **special):
    length = make(folder)
    write(folder, added_tokens__json={name: i + length for name, i in ADDED.items()})
    write(folder, special_tokens_map__json=MAP | special)


def with_decoder(folder, make, names, **config):
    length = make(folder)
    tokens = {str(i): SPEAKER | {"content": name} for name, i in names.items()}
    added = tokens | {str(length): WORD, str(length + 1): SPEAKER}
    values = json.loads((folder / "tokenizer_config.json").read_text()) | config
    write(folder, tokenizer_config__json=values | {"added_tokens_decoder": added} | MAP)
    write(folder, special_tokens_map__json={"mask_token": "not this"}, added_tokens__json={"nor this": 3})


RENAMED = {"pad_token": "<p>", "cls_token": "<c>", "sep_token": "<e>", "unk_token": "<u>", "mask_token": "<m>"}
RENAMED_BERT = ["<p>", "<u>", "<c>", "<e>", "<m>"]
FOLDERS = {
    "roberta": roberta,
    "roberta, a space first": lambda folder: roberta(folder, add_prefix_space=True),
    "roberta, added_tokens.json": lambda folder: with_legacy_files(folder, roberta),
    "roberta, added_tokens_decoder": lambda folder: with_decoder(
        folder, roberta, {name: byte_level()["vocab"][name] for name in ROBERTA_FIVE}
    ),
    "roberta, its mask renamed": lambda folder: roberta(
        folder, "[M A]", mask_token={"__type": "AddedToken", "content": "[M A]", **FLAGS}
    ),
    "xlm": xlm,
    "xlm, cased": lambda folder: xlm(folder, model=unigram(normalization_rule_name="identity")),
    "xlm, lower case": lambda folder: xlm(folder, model=unigram(normalization_rule_name="nmt_nfkc_cf")),
    "xlm, symbols": lambda folder: xlm(folder, model=unigram(user_defined_symbols="<x>,zz", control_symbols="<y>")),
    "xlm, renamed": lambda folder: xlm(
        folder, tokenizer_class="XLMRobertaTokenizer", bos_token="<c>", eos_token="<e>", **RENAMED
    ),
    "xlm, no space first": lambda folder: xlm(folder, add_prefix_space=False),
    "xlm, added_tokens.json": lambda folder: with_legacy_files(folder, xlm),
    "camembert": lambda folder: xlm(folder, "camembert"),
    "camembert by its class": lambda folder: (
        xlm(folder, "camembert", tokenizer_class="CamembertTokenizer"),
        write(folder, config__json={"model_type": "bert"}),
    ),
    "bert": bert,
    "bert, renamed": lambda folder: bert(folder, RENAMED_BERT, **RENAMED),
    "bert, renamed in the map": lambda folder: (
        bert(folder, RENAMED_BERT),
        write(folder, special_tokens_map__json={name: {"content": text} for name, text in RENAMED.items()}),
    ),
    "bert, added_tokens.json": lambda folder: with_legacy_files(folder, bert),
    "bert, added_tokens_decoder": lambda folder: with_decoder(
        folder, bert, {name: i for i, name in enumerate(samples.FIVE)}
    ),
}
MODERN = {"modern_bert": "modernbert", "euro_bert": "eurobert", "mm_bert": "modernbert", "nomic_bert": "nomic_bert"}


def modern_folder(kind):
    def make(folder):
        for name, content in modern.KINDS[kind]().items():
            (folder / name).write_bytes(content)
        write(folder, config__json={"model_type": MODERN[kind]})

    return make


FOLDERS |= {kind: modern_folder(kind) for kind in modern.KINDS}
TYPED = ("<mask>", "<s>", "</s>", "<pad>", "<unk>", "[MASK]", "[CLS]", "[M A]", "<m>", "<c>", "<speaker>", "<y>")
# Σ at the end of a word, and unassigned or private characters, are what docs/tokenization.md says of BertNormalizer.
LETTERS = [
    chr(c)
    for c in (*range(0x20, 0x3A3), *range(0x3A4, 0x600), *range(0x620, 0x660), *range(0x904, 0x940),
              *range(0xE01, 0xE31), *range(0x1E00, 0x1F00), *range(0x2000, 0x2070), *range(0x3041, 0x3097),
              *range(0x4E00, 0x4F00), *range(0xAC00, 0xAD00), *range(0x1F600, 0x1F640))
    if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")
]  # fmt: skip


def texts(count=800):
    rng = random.Random(0)
    yield from PROSE
    yield from (unicodedata.normalize(form, line) for line in PROSE for form in ("NFD", "NFKC"))
    yield from (
        "",
        " ",
        "  the  cat ",
        "\t the\r\ncat\x01\x00",
        "▁a",
        "a▁",
        "\u200b the",
        "a\u00a0b",
        "Ġthe",
        "\ufeffa",
        "\x7f",
    )
    words = [word for line in PROSE for word in line.split()] + [
        "newword",
        "two words",
        "newwords",
        "zz",
        "it's",
        "<",
        ">",
    ]
    for _ in range(count):
        parts = (rng.choice([" ", rng.choice(words), rng.choice(LETTERS), " " + rng.choice(words)]) for _ in range(12))
        yield "".join(parts)


@pytest.fixture(params=FOLDERS)
def folder(request, tmp_path):
    FOLDERS[request.param](tmp_path)
    return tmp_path


def same_ids(ours, theirs, plain):
    found = theirs(plain, add_special_tokens=False)["input_ids"]
    expected = ours.encode_batch(plain)
    wrong = [ascii(text) for text, a, b in zip(plain, expected, found, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(plain)}: {wrong[:3]}"
    assert all(ours.encode(text) == ids for text, ids in zip(plain[::20], expected[::20], strict=True))
    return sum(map(len, found))


def same_specials_and_pairs(ours, theirs):
    five = (ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id)
    found = {name: getattr(theirs, f"{name}_token_id") for name in ("pad", "unk", "cls", "sep", "mask", "bos", "eos")}
    # Llama's and Gemma's vocabularies have a beginning and an end instead, and Llama's has nothing for unknown text.
    unknown = ours.unk_id if found["unk"] is None else found["unk"]
    ends = (
        found[name] if found[name] is not None else found[other] for name, other in (("cls", "bos"), ("sep", "eos"))
    )
    assert five == (found["pad"], unknown, *ends, found["mask"])
    masked = [ours.cls_id, *ours.encode_masked("The cat[MASK] sat."), ours.sep_id]
    assert theirs(f"The cat{theirs.mask_token} sat.")["input_ids"] == masked
    assert [theirs.convert_ids_to_tokens(i) for i in range(len(theirs))] == list(ours.vocabulary)
    pairs = [("The cat", "sat."), ("月が", "the cat")]
    encoded = encode(pairs, ours, 64)
    for packed in packed_batches(encoded, ours, 256):
        for i, row, slot in zip(packed.index, packed.row, packed.slot, strict=True):
            inside = packed.batch["example_ids"][row] == slot + 1
            expected = theirs(*pairs[i], return_token_type_ids=True)
            assert packed.batch["token_ids"][row, inside].tolist() == expected["input_ids"]
            assert packed.batch["token_type_ids"][row, inside].tolist() == expected["token_type_ids"]


def test_ids_are_theirs(folder, record_property):
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    plain = [text for text in texts() if not any(special in text for special in TYPED)]
    record_property("ids", same_ids(ours, theirs, plain))
    same_specials_and_pairs(ours, theirs)


def test_typed_special_tokens_stay_text(folder):
    ours = load_tokenizer(folder)
    frame = np.array(ours.frame_ids)
    for special in {*TYPED, *(ours.vocabulary[i] for i in ours.frame_ids)}:
        assert not np.isin(ours.encode(f"the {special} cat{special}"), frame).any()


def test_exports_have_our_ids(folder, tmp_path):
    ours = load_tokenizer(folder)
    exported = tmp_path / "exported"
    exported.mkdir()
    for name, content in hugging_face_tokenizer_files(ours, 128).items():
        (exported / name).write_bytes(content)
    write(exported, config__json={"model_type": "bert"})
    theirs = transformers.AutoTokenizer.from_pretrained(exported)
    plain = [text for text in texts(300) if not any(special in text for special in TYPED)]
    same_ids(ours, theirs, plain)
    same_specials_and_pairs(ours, theirs)
    again = load_tokenizer(exported)
    assert type(again) is type(ours)
    assert again.encode_batch(plain) == ours.encode_batch(plain)
    same_specials_and_pairs(again, theirs)


def test_what_transformers_saves_again_is_the_same(folder, tmp_path):
    """A `tokenizer.json` and a `tokenizer_config.json` of this version."""
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "saved")
    write(tmp_path / "saved", config__json=json.loads((folder / "config.json").read_text()))
    again = load_tokenizer(tmp_path / "saved")
    plain = [text for text in texts(300) if not any(special in text for special in TYPED)]
    assert again.encode_batch(plain) == ours.encode_batch(plain)
    assert type(again) is type(ours) or isinstance(ours, WordPieceTokenizer)
    same_specials_and_pairs(again, transformers.AutoTokenizer.from_pretrained(tmp_path / "saved"))
