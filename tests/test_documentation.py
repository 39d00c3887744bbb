"""Every command of the README and of docs/ is run: here, shrunk, or where ELSEWHERE says."""

import gzip
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pyarrow
import pytest
from pyarrow import parquet

from tests.conftest import corpus_folder, make_documents

PAGES = [pathlib.Path("README.md"), *sorted(pathlib.Path("docs").glob("*.md"))]
# Commands that hold such words are run, or tried as far as a machine without a cluster can, by the files named.
ELSEWHERE = {
    "bash launch/local.sh": "tests/launch/test_scripts.py",
    "bash launch/test.sh": ".ci/run",
    "bash launch/setup.sh": ".ci/run",
    "source .venv/bin/activate": ".ci/run",
    "python -m tests.interop.peer": "tests/interop/test_parity.py",
    "python -m tests.interop.family_peer": "tests/interop/test_family_parity.py",
    "python -m pytest": ".ci/run",
    "pip install torch transformers": ".ci/run",
    "bash launch/processes.sh": "tests/launch/test_processes.py",
    "launch/slurm.sh": "tests/launch/test_slurm.py",
    "bash launch/tpu_vm.sh": "tests/launch/test_tpu_vm.py",
    "launch/gke.yaml": "tests/launch/test_gke.py",
    "launch/skypilot.yaml": "tests/launch/test_skypilot.py",
    "experiments.benchmarks.meshes": "tests/experiments/eight_devices.py",
    "experiments.glue": "tests/experiments/test_glue.py",
    "configs/glue.py": "tests/data/test_benchmarks.py",  # would download its data
    "experiments.compile_check": "tests/experiments/test_compile_check.py",
    "--workdir=runs/stable": "tests/training/workdir/test_fork.py",
    "train.fork_from": "tests/training/workdir/test_fork.py",
    "--last=5": "tests/training/test_mean.py",
    "export ": "tests/launch/test_launchers.py",
    # the image that gke.yaml starts: what setup.sh does in it
    "mkdir image": "tests/launch/test_setup.py",
    "git archive HEAD": "tests/launch/test_setup.py",
    "docker ": "tests/launch/test_setup.py",
}
SCRIPTS = {
    "experiments.prepare_corpus": ["--vocab_size=300", "--num_workers=1"],
    "experiments.pretrain": [
        "--config.model.num_layers=1",
        "--config.model.hidden_size=32",
        "--config.model.num_heads=2",
        "--config.train.batch_size=8",
        "--config.train.stop_after=1",
        "--config.eval.num_targets=100",
    ],
    "experiments.finetune": ["--config.train.stop_after=1", "--config.train.num_epochs=1"],
    "experiments.show_batch": [],
    "-c": [],
    "experiments.compare_runs": [],
    "experiments.embed": [],
    "experiments.score": [],
    "experiments.fill_mask": [],
    "experiments.minimal_pairs": [],
    "experiments.predict": [],
    "experiments.search": [],
    "experiments.convert_checkpoint": [],
    "experiments.extend_vocabulary": [],
    "experiments.inspect_checkpoint": [],
}
DOWNLOADS = ("configs/glue.py", "configs/super_glue.py")
LATER = ("--workdir=runs/stable", "train.fork_from", "--last=5")  # of checkpoints that the runs below do not reach
PRETRAIN = "python -m experiments.pretrain --config.data.corpus=corpora/articles --config.train.num_steps=300"
HERE_DOCUMENT = re.compile(r"<<'(\w+)'\n.*?\n\1\n", re.DOTALL)
FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: pathlib.Path) -> list[str]:
    """The commands in the page's shell blocks, one a line, without comments."""
    found = []
    for block in FENCE.findall(page.read_text()):
        for line in HERE_DOCUMENT.sub("\n", block).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            found += [part.strip() for part in shlex.join(words).split("'&&'") if part.strip()]
    return found


def script(command: str) -> str | None:
    """The module, or `-c`, that is run here; None for other commands."""
    words = [*shlex.split(command), "", ""]
    name = words[2] if words[1] == "-m" else words[1]
    if any(part in command for part in (*DOWNLOADS, *LATER)):
        return None
    return name if words[0] == "python" and name in SCRIPTS else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_run_somewhere(page):
    for command in commands(page):
        places = [place for words, place in ELSEWHERE.items() if words in command]
        assert script(command) or places, f"nothing runs: {command}"
        for place in places:
            assert pathlib.Path(place).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_outside_of_a_shell_block(page):
    text = FENCE.sub("", page.read_text())
    assert not re.findall(r"^(?: {4}|\$ ).*\b(?:python -m|bash|pip) .*", text, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    """A working tree as the documentation supposes it: text, a corpus, and two runs under way."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("experiments", "bert_jax"):
        (folder / name).symlink_to(pathlib.Path(name).absolute())
    (folder / "articles").mkdir()
    rows = "".join(f'{{"id": "{i}", "text": "{text}"}}\n' for i, text in enumerate(_texts(60, seed=7)))
    (folder / "articles" / "part0.jsonl").write_text(rows)
    for name, field in (("articles/part0.jsonl.gz", "text"), ("data/de/part0.jsonl.gz", "body")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(rows.replace('"text"', f'"{field}"').encode()))
    (folder / "data" / "en").mkdir()
    parquet.write_table(pyarrow.table({"text": list(_texts(40, seed=8))}), folder / "data" / "en" / "part0.parquet")
    for name, count in (("train", 40), ("dev", 10)):
        rows = "".join(f"{text[:80]}\t{i % 2}\n" for i, text in enumerate(_texts(count, seed=count)))
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + rows)
        words = (text.split()[:12] for text in _texts(count, seed=count))
        tagged = ("".join(f"{word}\t{'B-AND' if word == 'and' else 'O'}\n" for word in one) for one in words)
        (folder / f"{name}.conll").write_text("\n".join(tagged))
    for name, count in (("questions", 8), ("more_questions", 4)):
        rows = "".join(f'{{"question": "{i}", "candidates": ["a", "b"], "answer": {i % 2}}}\n' for i in range(count))
        (folder / f"{name}.jsonl").write_text(rows)
    for name in ("documents", "more_documents"):
        row = '{"document": "The end. And the end. Then, of all.", "summary": "the end of all"}\n'
        (folder / f"{name}.jsonl").write_text(row * 4)
    for name, count in (("train", 40), ("dev", 10)):
        (folder / f"{name}.json").write_text(json.dumps({"data": list(_questions(count))}))
    for name in ("passages", "dev_passages"):
        pairs = (text.split(" ", 6) for text in _texts(20, seed=len(name)))
        rows = [{"question": " ".join(words[:6]), "passage": words[6][:200]} for words in pairs]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labelled = [(f"{i} {text[:60]}", ("good", "bad")[i % 2]) for i, text in enumerate(_texts(120, seed=3))]
    (folder / "reviews.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in labelled))
    objects = (json.dumps({"text": text, "label": label}) for text, label in labelled)
    (folder / "news.jsonl").write_text("\n".join(objects))
    (folder / "sentences.txt").write_text("the end\n\nthe and the end.\n")
    (folder / "masked.txt").write_text("the [MASK] end.\n")
    (folder / "pairs.jsonl").write_text('{"good": "the end.", "bad": "end the.", "phenomenon": "order"}\n')
    (folder / "words.txt").write_text("endless\nandthe\n")
    (folder / "corpora").mkdir()
    shutil.copytree(corpus_folder(tmp_path_factory), folder / "corpora" / "articles")
    for name, seed, options in (("domain", 9, "--tokenizer=corpora/articles/tokenizer"), ("other", 10, "")):
        (folder / f"{name}.txt").write_text("\n\n".join(make_documents(40, seed)))
        run_script(
            folder,
            f"python -m experiments.prepare_corpus --source=text:{name}.txt --output=corpora/{name}"
            f" --validation_fraction=0.2 {options}",
        )
    (folder / "new.txt").write_text("the end.\nof all.\n")
    for run in ("articles", "a", "quickstart"):
        run_script(folder, f"{PRETRAIN} --config=experiments/configs/sizes.py:mini --workdir=runs/{run}")
    for task, end, run in (("classification", "tsv", "sentiment"), ("tagging", "conll", "entities")):
        run_script(
            folder,
            f"python -m experiments.finetune --config=experiments/configs/finetune_{task}.py --train=train.{end}"
            f" --validation=dev.{end} --init_from=runs/articles --workdir=runs/{run}",
        )
    run_script(
        folder,
        "python -m experiments.finetune --config=experiments/configs/finetune_embeddings.py --train=passages.jsonl"
        " --validation=dev_passages.jsonl --init_from=runs/articles --workdir=runs/embeddings",
    )
    return folder


def _texts(count, seed):
    return (text.replace("\n", " ") for text in make_documents(count, seed))


def _questions(count):
    """Rows of questions whose answers are the second or the third word of their passages."""
    for i, text in enumerate(_texts(count, seed=count)):
        answer = text.split()[1 + i % 2]
        place = {"text": [answer], "answer_start": [text.index(answer)]}
        yield {"id": i, "question": "the end?", "context": text, "answers": place}


def run_script(folder, command):
    """Runs a command in the folder, shrunk."""
    words = shlex.split(command)
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    done = subprocess.run(
        [sys.executable, *words[1:], *SCRIPTS[script(command)]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if "--helpfull" in words else 0), f"{command}\n{done.stdout}{done.stderr}"
    return done


@pytest.mark.parametrize(
    ("page", "command"),
    [pytest.param(page, command, id=page.name) for page in PAGES for command in commands(page) if script(command)],
)
def test_the_command_runs(folder, tmp_path, page, command):
    """Into new folders, since those of the documentation are there already."""
    for flag, made_by in (
        ("--output=", "experiments.prepare_corpus"),
        ("--output=", "experiments.extend_vocabulary"),
        ("--workdir=", "experiments.pretrain"),
        ("--workdir=", "experiments.finetune"),
    ):
        if script(command) == made_by:
            command = command.replace(flag, f"{flag}{tmp_path}/")
    run_script(folder, command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
