import subprocess
import sys

from bert_jax.corpus.store import open_corpus


def run(*flags):
    command = [sys.executable, "-m", "experiments.prepare_corpus", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_makes_a_corpus_and_says_what_it_holds(jsonl_files, tmp_path):
    done = run(f"--source=jsonl:{jsonl_files}", f"--output={tmp_path}/c", "--vocab_size=300", "--num_workers=2")
    assert done.returncode == 0, done.stderr
    corpus = open_corpus(tmp_path / "c")
    assert f"{corpus.train.num_tokens:,} tokens" in done.stderr
    assert "parts" in done.stderr


def test_several_sources_keep_their_order(jsonl_files, text_file, tmp_path):
    done = run(
        f"--source=jsonl:{jsonl_files}", f"--source=text:{text_file}", f"--output={tmp_path}/c", "--vocab_size=300"
    )
    assert done.returncode == 0, done.stderr
    sources = open_corpus(tmp_path / "c").train.document_sources
    assert set(sources) == {0, 1}
    assert (sources[1:] >= sources[:-1]).all()


def test_every_option_has_a_flag(jsonl_files, tmp_path):
    flags = {
        "tokenizer": "wordpiece",
        "vocab_size": 150,
        "lowercase": False,
        "strip_accents": True,
        "character_coverage": 0.99,
        "special_tokens": ["[A]", "[B]"],
        "reserved_slots": 2,
        "source_exponent": 0.5,
        "language": "de",
        "validation_fraction": 0.1,
        "deduplicate": "documents",
    }
    written = [f"--{name}={','.join(v) if isinstance(v, list) else v}" for name, v in flags.items()]
    written.append("--allow_lossy_text")
    done = run(f"--source=web=jsonl[lang=fr]:{jsonl_files}", f"--output={tmp_path}/c", *written)
    assert done.returncode == 0, done.stderr
    opened = open_corpus(tmp_path / "c")
    assert opened.manifest["options"] == flags | {"source": [f"web=jsonl[lang=fr]:{jsonl_files}"]}
    assert opened.sources == ("web",)


def test_mistakes_end_in_a_sentence(tmp_path):
    for flags, message in (
        (["--source=text:/nowhere/*"], "matches no file"),
        (["--source=csv:x"], "is not one of"),
        (["--source=docstrings", "--validation_fraction=2"], "between 0 and 1"),
    ):
        done = run(*flags, f"--output={tmp_path}/c")
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
