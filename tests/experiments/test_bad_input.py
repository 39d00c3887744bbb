"""Wrong input as a user gives it: each ends with a sentence, within seconds, and nothing is lost or left behind."""

import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.experiments.scripts import Scripts

SECONDS = 20
RUN = [
    "--config=experiments/configs/sizes.py:tiny",
    "--config.model.num_layers=1",
    "--config.model.hidden_size=32",
    "--config.model.max_positions=64",
    "--config.data.sequence_length=64",
    "--config.data.corpus={corpus}",
    "--config.train.num_steps=4",
    "--config.train.batch_size=8",
    "--config.train.checkpoint_every=1",
    "--config.eval.num_targets=300",
]
NEW = [*RUN, "--workdir={tmp}/new"]
AGAIN = [*RUN, "--workdir={tmp}/run"]
FINETUNE = [
    "--config=experiments/configs/finetune_classification.py",
    "--train={tmp}/a.tsv",
    "--validation={tmp}/a.tsv",
    "--config.data.sequence_length=64",
    "--workdir={tmp}/new",
]
TEXT = ["--source=text:{tmp}/a.txt", "--output={tmp}/c", "--num_workers=1"]
JSONL = ["--source=jsonl:{tmp}/a.jsonl", "--output={tmp}/c", "--num_workers=1", "--vocab_size=300"]
FOUR_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One mistake.

    Attributes:
      name: of the test.
      script: of `experiments`.
      flags: with {tmp}, {corpus} and {run} for folders.
      told: what the sentences contain, with the same folders.
      given: makes what is in {tmp} before.
      alone: in a process of its own, and its time is taken.
      env: of the process.
    """

    name: str
    script: str
    flags: list[str]
    told: tuple[str, ...]
    given: Callable[["Places"], None] = lambda places: None
    alone: bool = False
    env: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders: `tmp` of the case alone, a corpus and a run for all of them."""

    tmp: pathlib.Path
    corpus: pathlib.Path
    run: pathlib.Path

    def fill(self, text: str) -> str:
        for name, path in dataclasses.asdict(self).items():
            text = text.replace("{" + name + "}", str(path))
        return text


def write(name: str, content: str | bytes) -> Callable[[Places], None]:
    content = content.encode() if isinstance(content, str) else content
    return lambda places: (places.tmp / name).write_bytes(content) and None


def folder(name: str, *parts: Callable[[Places], None]) -> Callable[[Places], None]:
    def make(places):
        (places.tmp / name).mkdir(parents=True)
        both(*parts)(places)

    return make


def both(*parts: Callable[[Places], None]) -> Callable[[Places], None]:
    return lambda places: [part(places) for part in parts] and None


def copied_corpus(change: Callable[[pathlib.Path], None]) -> Callable[[Places], None]:
    def make(places):
        shutil.copytree(places.corpus, places.tmp / "damaged")
        change(places.tmp / "damaged")

    return make


def copied_run(change: Callable[[pathlib.Path], None] = lambda run: None) -> Callable[[Places], None]:
    def make(places):
        shutil.copytree(places.run, places.tmp / "run")
        change(places.tmp / "run")

    return make


def other_corpus(places):
    """The same corpus by another name of its source: other data, made quickly."""
    shutil.copytree(places.corpus, places.tmp / "other")
    change_json("manifest.json", fingerprint="another")(places.tmp / "other")


def change_json(name: str, **values) -> Callable[[pathlib.Path], None]:
    def change(folder):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({k: v for k, v in (content | values).items() if v is not None}))

    return change


def flip_last_byte(file: pathlib.Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def one(pattern: str) -> Callable[[pathlib.Path], pathlib.Path]:
    return lambda folder: sorted(folder.glob(pattern))[0]


def lose_index_and_damage_a_shard(corpus):
    shutil.rmtree(corpus / "index")
    flip_last_byte(one("*.array_record-*")(corpus))


def damage_index_and_a_shard(corpus):
    flip_last_byte(corpus / "index/train/token_ids.npy")
    flip_last_byte(one("*.array_record-*")(corpus))


def damage_all_checkpoints(run):
    for file in run.glob("checkpoints/*/state/**/d/*"):
        file.write_bytes(b"x" * file.stat().st_size)


def config_file(body: str) -> Callable[[Places], None]:
    return write("mine.py", body)


MINE = "--config={tmp}/mine.py"
HEAD = "from bert_jax.tasks.pretraining import PretrainingConfig\n"
VARIANTS = f"from typing import Literal\n{HEAD}def get_config(size: Literal['small', 'large']):\n    return 1 / 0\n"


def pretrain(name: str, flags: list[str], *told: str, base: list[str] = NEW, **more) -> Case:
    return Case(f"pretrain_{name}", "pretrain", base + flags, told, **more)


def finetune(name: str, flags: list[str], *told: str, **more) -> Case:
    return Case(f"finetune_{name}", "finetune", FINETUNE + flags, told, **more)


def prepare(name: str, flags: list[str], *told: str, **more) -> Case:
    return Case(f"prepare_{name}", "prepare_corpus", flags, told, **more)


def extend(name: str, flags: list[str], *told: str, **more) -> Case:
    return Case(f"extend_{name}", "extend_vocabulary", ["--model={run}", "--output={tmp}/out", *flags], told, **more)


def show(name: str, flags: list[str], *told: str, **more) -> Case:
    return Case(f"show_{name}", "show_batch", flags, told, **more)


LABELLED = "text\tlabel\na\tyes\nb\tno\n"

CASES = [
    # models
    extend("nothing", [], "Give one of --words, --corpus and --vocabulary."),
    extend(
        "number_without_corpus",
        ["--words={tmp}/a.txt", "--num_words=3"],
        "--num_words has no effect without --corpus: leave it out.",
    ),
    extend("no_file", ["--words={tmp}/a.txt"], "There is no file {tmp}/a.txt."),
    extend(
        "two_words",
        ["--words={tmp}/a.txt"],
        "'two words' is not one word to this tokenizer: leave it out.",
        given=write("a.txt", "word\n\ntwo words\n"),
    ),
    extend(
        "known_words",
        ["--words={tmp}/a.txt"],
        "Each of these 2 words is one piece already: there is nothing to add.",
        given=write("a.txt", "and\nthe\n"),
    ),
    Case(
        "convert_to_a_run",
        "convert_checkpoint",
        ["--from={run}", "--to=bert_jax:{run}"],
        ("{run} is not an empty folder: choose another one.",),
    ),
    pretrain("eval_corpus", ["--eval_corpus={tmp}/none"], "There is no corpus at {tmp}/none"),
    # labelled texts
    finetune(
        "nothing_to_start_from", [], "Give train.init_from (a pretrained run) or, to train from scratch, data.tokenizer"
    ),
    finetune("start_that_is_not_there", ["--init_from={tmp}/x"], "There is no folder {tmp}/x."),
    finetune("no_labelled_file", ["--init_from={run}"], "There is no file {tmp}/a.tsv", alone=True),
    finetune(
        "columns",
        ["--init_from={run}", "--config.data.text_column=txt"],
        "{tmp}/a.tsv, line 2 has no column 'txt', only text, label: correct data.text_column. Did you mean text?",
        given=write("a.tsv", LABELLED),
    ),
    finetune(
        "sizes",
        ["--init_from={run}", "--config.model.hidden_size=64"],
        "model.hidden_size=64 differs from train.init_from={run}, which has 32: leave it out.",
        given=write("a.tsv", LABELLED),
    ),
    finetune(
        "patterns",
        ["--init_from={run}", "--config.train.freeze=(", "--config.train.init_skip=["],
        "train.init_skip='[' is not a valid regular expression",
        "train.freeze='(' is not a valid regular expression",
        given=write("a.tsv", LABELLED),
    ),
    finetune(
        "freeze_that_finds_nothing",
        ["--init_from={run}", "--config.train.freeze=^encoder"],
        "train.freeze='^encoder' matches no parameter",
        given=write("a.tsv", LABELLED),
    ),
    finetune(
        "run_of_another_task",
        ["--init_from={run}", "--workdir={tmp}/run"],
        "{tmp}/run holds a run of the task pretraining, not classification",
        given=both(copied_run(), write("a.tsv", LABELLED)),
    ),
    # flags
    pretrain(
        "misspelt_field",
        ["--config.model.num_layrs=3"],
        "There is no flag --config.model.num_layrs. Did you mean --config.model.num_layers?",
        alone=True,
    ),
    pretrain("field_of_another_section", ["--config.data.batch_size=8"], "Did you mean --config.train.batch_size?"),
    pretrain("field_without_its_section", ["--batch_size=8"], "Did you mean --config.train.batch_size?"),
    pretrain("misspelt_flag", ["--dryrun"], "There is no flag --dryrun. Did you mean --dry_run?"),
    pretrain(
        "no_flag_at_all",
        ["config.train.num_steps=3"],
        "'config.train.num_steps=3' is not a flag: give flags in the form --name=value",
    ),
    pretrain("no_workdir", [], "--workdir is missing: Folder for the checkpoints", base=RUN),
    pretrain("no_config", ["--workdir={tmp}/new"], "--config is missing: give one of", base=[]),
    pretrain(
        "no_number",
        ["--config.train.batch_size=many"],
        "--config.train.batch_size=many: 'many' is not a whole number",
        alone=True,
    ),
    pretrain("no_truth", ["--config.model.remat=perhaps"], "'perhaps' is not true or false"),
    pretrain("none_where_a_value_must_be", ["--config.model.num_layers=none"], "'none' is not a whole number"),
    pretrain("no_steps_to_trace", ["--profile=5"], "--profile=5 is not of the form START:STOP"),
    # config files
    pretrain(
        "misspelt_config_file",
        ["--config=experiments/configs/bert_bse.py"],
        "--config=experiments/configs/bert_bse.py is not a file. Did you mean experiments/configs/bert_base.py?",
        alone=True,
    ),
    pretrain(
        "unknown_config_file",
        ["--config={tmp}/qqq.py"],
        "is not a file. In experiments/configs there are bert_24h.py, bert_base.py, ",
    ),
    pretrain("config_of_another_kind", ["--config=pyproject.toml"], "is not a Python file"),
    pretrain(
        "config_with_a_syntax_error",
        [MINE],
        "{tmp}/mine.py, line 2: SyntaxError: ",
        given=config_file("x = 1\ndef get_config(:\n"),
        alone=True,
    ),
    pretrain(
        "config_with_an_error",
        [MINE],
        "{tmp}/mine.py, line 3: NameError: name 'confg' is not defined. Fix the config file.",
        given=config_file(f"{HEAD}def get_config():\n    return confg\n"),
    ),
    pretrain(
        "config_that_calls_wrongly",
        [MINE],
        "{tmp}/mine.py, line 4: TypeError: ",
        "num_layrs",
        given=config_file(
            f"{HEAD}from bert_jax.model.config import ModelConfig\ndef get_config():\n"
            "    return PretrainingConfig(model=ModelConfig(num_layrs=3))\n"
        ),
    ),
    pretrain("config_without_get_config", [MINE], "defines no get_config()", given=config_file("x = 1\n")),
    pretrain(
        "config_that_is_none",
        [MINE],
        "get_config() returns NoneType, which this script does not take: give another one",
        given=config_file("def get_config():\n    pass\n"),
    ),
    pretrain(
        "config_with_wrong_fields",
        [MINE],
        "There is no config field 'train.num_stps'. Did you mean num_steps?",
        "train.batch_size=2.5 must be int.",
        "mesh=3 must be a MeshConfig.",
        given=config_file(
            f"{HEAD}def get_config():\n    config = PretrainingConfig()\n    config.train.num_stps = 3\n"
            "    config.train.batch_size = 2.5\n    config.mesh = 3\n    return config\n"
        ),
    ),
    pretrain(
        "variant_where_there_is_none",
        ["--config=experiments/configs/quickstart.py:big"],
        "has no variants: leave out ':big'",
    ),
    pretrain(
        "wrong_variant",
        [MINE + ":smal"],
        "no variant 'smal': one of small, large. Did you mean small?",
        given=config_file(VARIANTS),
    ),
    pretrain("variant_missing", [MINE], "needs a variant", ": one of small, large.", given=config_file(VARIANTS)),
    pretrain(
        "variant_that_fails",
        [MINE + ":small"],
        "line 4 with the variant 'small': ZeroDivisionError",
        given=config_file(VARIANTS),
    ),
    # values
    pretrain("wrong_choice", ["--config.model.pooling=maxx"], "'maxx' is not one of cls, max, mean. Did you mean max?"),
    pretrain(
        "heads", ["--config.model.num_heads=3"], "model.num_heads=3 does not divide model.hidden_size=32", alone=True
    ),
    pretrain(
        "positions",
        ["--config.data.sequence_length=128"],
        "data.sequence_length=128 is longer than model.max_positions=64",
    ),
    pretrain(
        "positions_of_a_phase",
        ["--config.data.phases=2: sequence_length=128"],
        "data.phases: sequence_length=128 is longer than model.max_positions=64",
    ),
    pretrain(
        "batch_and_accumulation",
        ["--config.train.grad_accumulation_steps=3"],
        "train.batch_size=8 must be a multiple of the 1 data devices times train.grad_accumulation_steps=3: choose 9",
    ),
    pretrain(
        "batch_and_devices",
        ["--config.train.batch_size=6"],
        "train.batch_size=6 must be a multiple of the 4 data devices: choose 8",
        env=FOUR_DEVICES,
    ),
    pretrain(
        "batch_and_groups",
        ["--config.data.examples=candidates", "--config.data.nsp_group_size=3"],
        "times data.nsp_group_size=3: choose 9",
    ),
    pretrain(
        "batch_of_a_phase",
        ["--config.train.grad_accumulation_steps=2", "--config.data.phases=2: batch_size=3"],
        "data.phases: batch_size=3 (from step 2 on) must be a multiple",
    ),
    pretrain("mesh", ["--config.mesh.fsdp=2"], "data × fsdp × tensor = -1 × 2 × 1 does not fit 1 device(s)"),
    pretrain(
        "zero_and_less",
        [
            "--config.train.batch_size=0",
            "--config.model.num_layers=-1",
            "--config.train.log_every=0",
            "--config.mesh.data=0",
        ],
        "train.batch_size=0 must be above 0",
        "model.num_layers=-1 must lie between 1 and 10000",
        "train.log_every=0 must be above 0",
        "mesh=[0, 1, 1]: give sizes of at least 1",
    ),
    pretrain(
        "absurd_sizes",
        [
            "--config.model.num_layers=100000000",
            "--config.model.max_positions=1000000000000",
            "--config.data.max_predictions=1000000000",
            "--config.data.max_examples=1000000000",
            "--config.train.batch_size=1000000000000",
            "--config.eval.num_targets=1000000000000000",
        ],
        "model.num_layers=100000000 must lie between 1 and 10000",
        "model.max_positions=1000000000000 must lie between",
        "data.max_predictions=1000000000 must lie between 1 and data.sequence_length",
        "data.max_examples=1000000000 must lie between 1 and data.sequence_length",
        "train.batch_size=1000000000000 must be below 2**31",
        "eval.num_targets=1000000000000000 must lie between",
    ),
    pretrain(
        "not_finite",
        [
            "--config.optimizer.learning_rate=nan",
            "--config.optimizer.weight_decay=inf",
            "--config.model.dropout=nan",
            "--config.model.initializer_range=nan",
            "--config.data.mask_rate=nan",
            "--config.data.nsp_temperature=inf",
            "--config.train.num_steps=none",
            "--config.train.time_budget=inf",
            "--config.eval.mask_rate=nan",
        ],
        "learning_rate=nan",
        "weight_decay=inf",
        "dropout=nan",
        "initializer_range=nan",
        "mask_rate=nan",
        "nsp_temperature=inf",
        "time_budget=inf",
        "eval.mask_rate=nan",
    ),
    pretrain(
        "no_length",
        ["--config.train.num_steps=none"],
        "Give one of train.num_steps, train.num_epochs and train.time_budget",
    ),
    pretrain(
        "too_many_steps", ["--config.train.num_steps=10000000000"], "train.num_steps=10000000000 must be below 2**31"
    ),
    pretrain(
        "warm_up", ["--config.optimizer.warmup_steps=4"], "optimizer.warmup_steps=4 is not below the run's 4 steps"
    ),
    pretrain(
        "misspelt_in_data_phases",
        ["--config.data.phases=2: sequence_lenght=32"],
        "data.phases, step 2: There is no config field 'sequence_lenght'. Did you mean sequence_length?",
    ),
    pretrain(
        "misspelt_in_optimizer_phases",
        ["--config.optimizer.phases=2: learning_rat=1e-3"],
        "optimizer.phases, step 2: There is no config field 'learning_rat'. Did you mean learning_rate?",
    ),
    pretrain(
        "type_in_phases",
        ["--config.data.phases=2: batch_size=lots"],
        "data.phases, step 2: batch_size='lots' must be int",
    ),
    pretrain(
        "sizes_of_a_ramp",
        ["--config.data.ramp_from=3", "--config.data.ramp_steps=9"],
        "data.ramp_increment=3 does not lead from data.ramp_from=3 to train.batch_size=8: choose a divisor of 5.",
    ),
    pretrain(
        "fork_of_nothing",
        ["--config.train.fork_from={tmp}/x"],
        "train.fork_from={tmp}/x: There is no folder {tmp}/x: give the --workdir of a run.",
    ),
    pretrain(
        "step_of_a_fork",
        ["--config.train.fork_from={run}", "--config.train.fork_step=9"],
        "train.fork_from={run} has no checkpoint of train.fork_step=9, only of",
    ),
    finetune(
        "fork_of_another_task",
        ["--init_from={run}", "--config.train.fork_from={run}"],
        "{run} holds a run of the task pretraining, not classification: choose another folder.",
    ),
    pretrain("form_of_phases", ["--config.data.phases=sequence_length=32"], "data.phases has", "not of the form"),
    pretrain(
        "source_weights",
        ["--config.data.source_weights=documnts=1"],
        "'documnts', but the corpus has documents. Did you mean documents?",
    ),
    pretrain(
        "source_weights_of_a_far_phase",
        ["--config.data.phases=3: source_weights=web=1"],
        "data.source_weights names 'web', but the corpus has documents.",
    ),
    pretrain(
        "everything_at_once",
        [
            "--config.model.num_heads=3",
            "--config.data.masking=words",
            "--config.train.grad_accumulation_steps=3",
            "--config.mesh.tensor=5",
            "--config.data.corpus=",
            "--workdir=/proc/run",
        ],
        "model.num_heads=3",
        "data.masking='words'",
        "does not fit 1 device(s)",
        "data.corpus is empty",
        "--workdir=/proc/run cannot be written",
        alone=True,
    ),
    # the workdir
    pretrain(
        "workdir_is_a_file",
        ["--workdir={tmp}/file"],
        "--workdir={tmp}/file cannot be written",
        given=write("file", "x"),
    ),
    pretrain("workdir_below_a_file", ["--workdir={tmp}/file/run"], "cannot be written", given=write("file", "x")),
    pretrain("workdir_that_cannot_be", ["--workdir=/proc/run"], "--workdir=/proc/run cannot be written", alone=True),
    # the corpus
    pretrain("no_corpus", ["--config.data.corpus=nowhere"], "There is no corpus at nowhere", alone=True),
    pretrain(
        "corpus_is_a_file", ["--config.data.corpus={tmp}/file"], "{tmp}/file is not a corpus", given=write("file", "x")
    ),
    pretrain("corpus_is_empty", ["--config.data.corpus={tmp}/c"], "{tmp}/c is not a corpus", given=folder("c")),
    pretrain(
        "corpus_half_built",
        ["--config.data.corpus={tmp}/c"],
        "The corpus {tmp}/c is incomplete",
        given=folder("c/build"),
    ),
    pretrain(
        "two_corpora_missing",
        ["--config.data.corpus=one", "--config.data.phases=2: corpus=two"],
        "There is no corpus at one",
        "There is no corpus at two",
    ),
    pretrain(
        "manifest_is_not_json",
        ["--config.data.corpus={tmp}/damaged"],
        "{tmp}/damaged/manifest.json is damaged, it is not valid JSON",
        given=copied_corpus(lambda c: (c / "manifest.json").write_text("{")),
    ),
    pretrain(
        "manifest_of_another_version",
        ["--config.data.corpus={tmp}/damaged"],
        "{tmp}/damaged has format 1, but this version reads 2",
        given=copied_corpus(change_json("manifest.json", format_version=1)),
    ),
    pretrain(
        "manifest_in_parts",
        ["--config.data.corpus={tmp}/damaged"],
        "manifest.json is damaged (splits is missing)",
        given=copied_corpus(change_json("manifest.json", splits=None)),
    ),
    pretrain(
        "tokenizer_is_another",
        ["--config.data.corpus={tmp}/damaged"],
        "{tmp}/damaged/tokenizer is not the one that this corpus was built with",
        given=copied_corpus(lambda c: (c / "tokenizer/vocab.txt").open("a").write("more\n")),
    ),
    pretrain(
        "tokenizer_is_gone",
        ["--config.data.corpus={tmp}/damaged"],
        "{tmp}/damaged/tokenizer cannot be read",
        given=copied_corpus(lambda c: shutil.rmtree(c / "tokenizer")),
    ),
    pretrain(
        "shard_is_cut",
        ["--config.data.corpus={tmp}/damaged"],
        "array_record-00000-of-00001 is damaged or missing",
        given=copied_corpus(lambda c: one("*.array_record-*")(c).write_bytes(b"x")),
    ),
    pretrain(
        "shard_is_wrong",
        ["--config.data.corpus={tmp}/damaged"],
        "array_record-00000-of-00001 is damaged or missing",
        given=copied_corpus(lose_index_and_damage_a_shard),
    ),
    pretrain(
        "index_and_shards_are_wrong",
        ["--config.data.corpus={tmp}/damaged"],
        "array_record-00000-of-00001 is damaged or missing",
        given=copied_corpus(damage_index_and_a_shard),
        alone=True,
    ),
    pretrain(
        "vocabulary",
        ["--config.model.vocab_size=200"],
        "model.vocab_size=200 is smaller than the corpus' vocabulary of 300",
    ),
    pretrain(
        "phase_of_another_vocabulary",
        ["--config.data.phases=2: corpus={tmp}/damaged"],
        "{tmp}/damaged has another vocabulary than {corpus}",
        given=copied_corpus(
            both(
                lambda c: (c / "tokenizer/vocab.txt").open("a").write("more\n"),
                lambda c: change_json("manifest.json", tokenizer_sha256=vocabulary_sha256(c))(c),
            )
        ),
    ),
    # a second start
    pretrain(
        "resumed_with_another_config",
        ["--config.model.num_layers=3", "--config.train.seed=1"],
        "model.num_layers was 1 and is 3; train.seed was 0 and is 1",
        base=AGAIN,
        given=copied_run(),
        alone=True,
    ),
    pretrain(
        "resumed_to_more_steps",
        ["--config.train.num_steps=8"],
        "train.num_steps was 4 and is 8: with optimizer.schedule=linear",
        base=AGAIN,
        given=copied_run(),
    ),
    pretrain(
        "resumed_to_fewer_steps",
        ["--config.train.num_steps=1"],
        "train.num_steps was 4 and is 1, but 2 steps are taken",
        base=AGAIN,
        given=copied_run(),
    ),
    pretrain(
        "resumed_on_other_data",
        ["--config.data.corpus={tmp}/other"],
        "{tmp}/run was started on other data (corpus was",
        "is another)",
        base=AGAIN,
        given=both(copied_run(), other_corpus),
    ),
    pretrain(
        "damaged_config",
        [],
        "{tmp}/run/config.json is damaged",
        base=AGAIN,
        given=copied_run(lambda run: (run / "config.json").write_text('{"model": {')),
    ),
    pretrain(
        "config_of_another_version",
        [],
        "{tmp}/run/config.json is not a config of this version: There is no config field 'extra'",
        base=AGAIN,
        given=copied_run(change_json("config.json", config={"extra": 3})),
    ),
    pretrain(
        "config_is_gone",
        [],
        "{tmp}/run has checkpoints but no config.json",
        base=AGAIN,
        given=copied_run(lambda run: (run / "config.json").unlink()),
    ),
    pretrain(
        "damaged_run",
        [],
        "{tmp}/run/run.json is damaged, it is not valid JSON",
        base=AGAIN,
        given=copied_run(lambda run: (run / "run.json").write_text("")),
    ),
    pretrain(
        "all_checkpoints_damaged",
        ["--config.train.stop_after=2"],
        "None of the checkpoints [2, 1] in {tmp}/run/checkpoints can be restored",
        base=AGAIN,
        given=copied_run(damage_all_checkpoints),
        alone=True,
    ),
    # preparing a corpus
    prepare("no_source", ["--output={tmp}/c"], "--source is missing"),
    prepare("no_file", TEXT, "--source=text:{tmp}/a.txt matches no file", alone=True),
    prepare("pattern_without_files", ["--source=text:{tmp}/*.txt", *TEXT[1:]], "matches no file"),
    prepare("folder", ["--source=text:{tmp}", *TEXT[1:]], "--source=text:{tmp} is a folder"),
    prepare(
        "unknown_kind", ["--source=jsnol:x", *TEXT[1:]], "is not one of docstrings, text:GLOB", "Did you mean jsonl?"
    ),
    prepare("unknown_key", ["--source=jsonl[txt=body]:x", *TEXT[1:]], "not txt=body. Did you mean text?"),
    prepare(
        "two_problems",
        ["--source=text:{tmp}/b", "--source=jsonl:{tmp}/c", "--tokenizer=no", *TEXT[1:]],
        "text:{tmp}/b matches",
        "jsonl:{tmp}/c matches",
        "No vocabulary at no",
    ),
    prepare("empty_source", TEXT, "--source=text:{tmp}/a.txt holds no text", given=write("a.txt", "\n \n")),
    prepare(
        "empty_source_of_two",
        ["--source=text:{tmp}/empty.txt", "--tokenizer={corpus}/tokenizer", *JSONL],
        "--source=text:{tmp}/empty.txt holds no text",
        given=both(
            write("empty.txt", ""),
            write("a.jsonl", "".join(f'{{"text": "The {c * 3} end."}}\n' for c in "abcdefgh" * 9)),
        ),
    ),
    prepare(
        "line_is_not_json",
        JSONL,
        "{tmp}/a.jsonl, line 2, is not valid JSON (Expecting value, column 9)",
        given=write("a.jsonl", '{"text": "A."}\n{"text": \n'),
    ),
    prepare(
        "wrong_field",
        JSONL,
        "line 1, has no field 'text' (its fields: id, body)",
        "jsonl[text=…]:{tmp}/a.jsonl",
        given=write("a.jsonl", '{"id": 1, "body": "A."}\n'),
        alone=True,
    ),
    prepare(
        "no_parquet",
        ["--source=parquet:{tmp}/a.parquet", *TEXT[1:]],
        "a.parquet is damaged or cannot be read (Parquet magic bytes not found",
        given=write("a.parquet", "x" * 99),
    ),
    prepare(
        "damaged_gzip",
        ["--source=text:{tmp}/a.gz", *TEXT[1:]],
        "a.gz is damaged",
        given=write("a.gz", gzip.compress(b"A text.\n" * 9999)[:40]),
    ),
    prepare(
        "vocabulary_is_none",
        ["--tokenizer={tmp}/vocab.txt", *TEXT],
        "No vocabulary at {tmp}/vocab.txt",
        given=write("a.txt", "A."),
    ),
    prepare(
        "misspelt_vocabulary",
        ["--tokenizer=wordpeice", *TEXT],
        "--tokenizer=wordpeice",
        "Did you mean wordpiece?",
        given=write("a.txt", "A."),
    ),
    prepare(
        "vocabulary_is_not_utf8",
        ["--tokenizer={tmp}/vocab.txt", *TEXT],
        "The vocabulary is not UTF-8",
        given=both(write("a.txt", "A."), write("vocab.txt", b"\xff\xfe")),
    ),
    prepare(
        "vocabulary_too_small",
        ["--vocab_size=20", "--validation_fraction=0.1", *TEXT],
        "vocab_size=20 leaves no room",
        "use at least",
        given=write("a.txt", "A quick brown fox.\n\n" * 99),
    ),
    prepare(
        "sentence_pieces_too_few",
        ["--vocab_size=12", "--tokenizer=sentencepiece", "--validation_fraction=0.1", *TEXT],
        "vocab_size=12 leaves no room",
        given=write("a.txt", "A quick brown fox.\n\n" * 99),
    ),
    prepare(
        "no_room_for_bytes",
        ["--vocab_size=200", "--tokenizer=bpe", *TEXT],
        "vocab_size=200 leaves no room for 256 bytes besides 5 special pieces: use at least 261",
        given=write("a.txt", "A quick brown fox.\n\n" * 99),
    ),
    prepare(
        "bytes_spell_everything",
        ["--character_coverage=0.99", "--tokenizer=bpe", *TEXT],
        "character_coverage has no effect on tokenizer=bpe",
        given=write("a.txt", "A quick brown fox.\n\n" * 99),
    ),
    prepare("vocabulary_of_nothing", ["--vocab_size=-3", *TEXT], "--vocab_size=-3"),
    prepare(
        "wrong_choice", ["--deduplicate=paragraph", *TEXT], "none|documents|paragraphs", "Did you mean paragraphs?"
    ),
    prepare(
        "nothing_held_out", ["--validation_fraction=nan", *TEXT], "validation_fraction=nan must lie between 0 and 1"
    ),
    prepare(
        "one_document",
        TEXT,
        "has no blank lines, so it is one document of 20 bytes",
        given=write("a.txt", "A text of one line.\n"),
    ),
    prepare("output_is_a_file", TEXT, "--output={tmp}/c is a file", given=both(write("a.txt", "A."), write("c", "x"))),
    prepare(
        "output_that_cannot_be",
        [TEXT[0], "--output=/proc/c"],
        "/proc/c cannot be written",
        given=write("a.txt", "A.\n\nB.\n"),
    ),
    prepare(
        "output_is_something_else",
        TEXT,
        "{tmp}/c exists and is not a corpus",
        given=both(write("a.txt", "A."), folder("c", write("c/thesis.tex", "years of work"))),
    ),
    prepare(
        "output_has_a_build_of_its_own",
        TEXT,
        "{tmp}/c exists and is not a corpus",
        given=both(write("a.txt", "A."), folder("c/build", write("c/build/program", "x"))),
        alone=True,
    ),
    prepare(
        "output_is_another_corpus",
        ["--vocab_size=300", "--source=text:{tmp}/a.txt", "--output={corpus}"],
        "{corpus} holds a corpus built with other options (source was",
        given=write("a.txt", "A."),
    ),
    prepare(
        "one_record",
        JSONL,
        "The sources hold one document",
        given=write("a.jsonl", '{"text": "A text of one line."}\n'),
    ),
    prepare(
        "a_pipe",
        ["--source=text:{tmp}/*.txt", *TEXT[1:]],
        "{tmp}/b.txt is a pipe, not a file",
        given=both(write("a.txt", "A."), lambda places: os.mkfifo(places.tmp / "b.txt")),
    ),
    prepare("vocabulary_of_everything", ["--vocab_size=99999999999999", *TEXT], "must lie between 8 and 10,000,000"),
    prepare("only_reserved_slots", ["--reserved_slots=1000000000000", *TEXT], "reserved_slots=1000000000000 must lie"),
    prepare("workers_without_number", ["--num_workers=100000", *TEXT], "--num_workers=100000"),
    # looking at a batch
    show("no_folder", ["--workdir={tmp}/none", "--step=1"], "There is no folder {tmp}/none"),
    show("no_run", ["--workdir={corpus}", "--step=1"], "{corpus} holds no run", alone=True),
    show("behind_the_end", ["--workdir={run}", "--step=5"], "--step=5 is past the end of the run: it has 4 steps"),
    show("before_the_start", ["--workdir={run}", "--step=0"], "--step=0"),
    show("no_rows", ["--workdir={run}", "--step=1", "--rows=9:12"], "the batch has rows 0 to 7"),
    show(
        "other_data",
        ["--workdir={run}", "--step=1", "--corpus={tmp}/other"],
        "was started on other data",
        given=other_corpus,
    ),
]


def vocabulary_sha256(corpus: pathlib.Path) -> str:
    from bert_jax.tokenization import load_tokenizer

    return load_tokenizer(corpus / "tokenizer").sha256


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    with Scripts(tmp_path_factory.mktemp("scripts")) as running:
        yield running


@pytest.fixture(scope="module")
def shared(scripts, corpus, corpus_path, tmp_path_factory):
    """The corpus and a run that was stopped after two steps of four; no case may change either."""
    run = tmp_path_factory.mktemp("bad_input") / "run"
    places = Places(run.parent, pathlib.Path(corpus_path), run)
    flags = [*RUN, "--workdir={run}", "--config.train.stop_after=2"]
    code, printed = scripts.run("pretrain", *map(places.fill, flags))
    assert code == 0, printed
    before = [content_of(folder) for folder in (places.corpus, run)]
    yield places
    assert [content_of(folder) for folder in (places.corpus, run)] == before


def content_of(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def alone(script: str, flags: list[str]) -> tuple[int, str]:
    """The script in a process of its own."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"experiments.{script}", *flags], capture_output=True, text=True)
    assert time.monotonic() - began < SECONDS
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_ends_in_sentences(case, scripts, shared, tmp_path):
    places = dataclasses.replace(shared, tmp=tmp_path)
    case.given(places)
    before, flags = content_of(tmp_path), list(map(places.fill, case.flags))
    code, printed = alone(case.script, flags) if case.alone else scripts.run(case.script, *flags, env=case.env)
    print(printed)  # shown where the test fails
    assert "Traceback" not in printed
    assert code == 2
    sentences = [line.removeprefix("error: ") for line in printed.split("\n") if line.startswith("error: ")]
    for told in map(places.fill, case.told):
        assert any(told in sentence for sentence in sentences), told
    assert content_of(tmp_path) == before


def test_there_are_enough_cases():
    assert len({case.name for case in CASES}) == len(CASES) >= 40
    assert sum(case.alone for case in CASES) >= 10


def test_a_bug_keeps_its_traceback(scripts, shared, tmp_path):
    places = dataclasses.replace(shared, tmp=tmp_path)
    code, printed = scripts.run("pretrain", *map(places.fill, NEW), broken="bert_jax.training.run:prepare")
    assert code == 1
    assert "Traceback" in printed
    assert "ZeroDivisionError" in printed
