import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from bert_jax import lock
from bert_jax.corpus.store import open_corpus


def command(*flags):
    return [sys.executable, "-m", "experiments.prepare_corpus", *flags]


def run(*flags, **options):
    return subprocess.run(command(*flags), capture_output=True, text=True, **options)


def listen_to_interrupts():
    """Processes that a shell starts in the background ignore Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_says_so_and_goes_on(jsonl_files, tmp_path, number):
    # Several sources, so that the build is not over before it is told.
    flags = [*(f"--source={name}=jsonl:{jsonl_files}" for name in "abcd"), f"--output={tmp_path}/c"]
    flags += ["--vocab_size=300", "--num_workers=2"]
    process = subprocess.Popen(
        command(*flags), stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listen_to_interrupts
    )
    while not list((tmp_path / "c").glob("build/*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number)  # as a terminal does it: the workers get it, too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert stderr.splitlines()[-1].startswith("Stopped. The same command resumes")
    assert "Traceback" not in stderr
    assert not [path for path in (tmp_path / "c").iterdir() if lock.is_claim(path.name)]
    assert run(*flags).returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_in_a_sentence_and_the_same_command_goes_on(text_file, jsonl_files, tmp_path, workers):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    flags = [f"--source=jsonl:{jsonl_files}", f"--source=text:{text_file}", "--vocab_size=300"]
    flags += [f"--num_workers={workers}"]
    done = run(*flags, f"--output={tmp_path}/c", preexec_fn=limit)
    assert done.returncode == 74
    assert f"error: {tmp_path}/c cannot be written (" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "c" / "build" / "tokenizer").exists()  # what was finished is kept
    for folder in ("c", "straight"):
        done = run(*flags, f"--output={tmp_path}/{folder}")
        assert done.returncode == 0, done.stderr
    assert open_corpus(tmp_path / "c").fingerprint == open_corpus(tmp_path / "straight").fingerprint


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
        (["--source=cvs:x"], "is not one of"),
        (["--source=docstrings", "--validation_fraction=2"], "between 0 and 1"),
    ):
        done = run(*flags, f"--output={tmp_path}/c")
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
