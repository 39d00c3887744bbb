"""Several seeds of a classifier in one command, killed and resumed."""

import signal

import pytest

from bert_jax.training.workdir.metrics import read_metrics
from tests.experiments.scripts import Scripts
from tests.tasks.test_classification import make_rows
from tests.tasks.test_pretraining import results

FLAGS = [
    "--config=experiments/configs/finetune_classification.py",
    "--num_seeds=2",
    "--config.model.num_layers=1",
    "--config.model.hidden_size=32",
    "--config.model.num_heads=2",
    "--config.model.max_positions=64",
    "--config.data.sequence_length=64",
    "--config.optimizer.learning_rate=1e-3",
    "--config.train.num_epochs=none",
    "--config.train.num_steps=12",
    "--config.train.batch_size=4",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=4",
    "--config.eval.every=4",
]
# A run saves after steps 4, 8 and 12, and a save waits for the one before: the second seed's last save is not begun,
# that of step 8 may be incomplete, that of step 4 is complete.
FATAL_SAVE = ("bert_jax.training.workdir.checkpoints:Checkpoints.save", 6)


@pytest.fixture(scope="module")
def flags(corpus, corpus_path, tmp_path_factory):
    """Those of the command, but for its workdir."""
    folder = tmp_path_factory.mktemp("labelled")
    words = [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]
    for name, count in (("train", 60), ("validation", 24), ("test", 25)):
        rows = make_rows(words, count, seed=count)
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in rows))
    splits = [f"--{name}={folder}/{name}.tsv" for name in ("train", "validation", "test")]
    return [*FLAGS, *splits, f"--config.data.tokenizer={corpus_path}/tokenizer"]


def test_killed_in_the_second_seed_it_ends_like_the_straight_run(flags, tmp_path):
    straight, killed = tmp_path / "straight/runs", tmp_path / "killed/runs"
    quick = {
        "JAX_COMPILATION_CACHE_DIR": f"{tmp_path}/compiled",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles in half the time
    }
    with Scripts(tmp_path) as scripts:
        code, printed = scripts.run("finetune", *flags, f"--workdir={straight}", env=quick)
        assert code == 0, printed
        again = "finetune", *flags, f"--workdir={killed}"
        code, printed = scripts.run(*again, env=quick, fatal=FATAL_SAVE)
        assert code == -signal.SIGKILL, printed
        assert (killed / "seed_0/report.md").exists()
        assert not (killed / "report.md").exists()
        assert max(row["step"] for row in read_metrics(killed / "seed_1")) == 12
        code, printed = scripts.run(*again, env=quick)
        assert code == 0, printed
    assert "resuming after step " in printed
    for seed in ("seed_0", "seed_1"):
        assert results(killed / seed) == results(straight / seed)
        for name, lines in (("validation.jsonl", 24), ("test.jsonl", 25), ("scores.json", None)):
            found, expected = ((runs / seed / "predictions" / name).read_bytes() for runs in (killed, straight))
            assert found == expected, name
            assert lines in (None, len(expected.splitlines())), name
    assert results(killed / "seed_0") != results(killed / "seed_1")
    table = (killed / "report.md").read_text()
    assert table == (straight / "report.md").read_text()
    assert "## Test scores" in table
