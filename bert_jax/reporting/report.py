"""`report.md`: what was trained on what, how well, what the model says, what it cost, and how to do it again."""

from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from bert_jax import configuration, storage
from bert_jax.data.corpus import Corpus, open_corpus
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.pretrained import Pretrained, load
from bert_jax.reporting.curves import draw_curves
from bert_jax.reporting.filled_masks import FilledMask, fill_held_out_masks
from bert_jax.reporting.markdown import code, plain, table
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.reporting.scores import baseline_words, scores_of
from bert_jax.tasks.pretraining import PretrainingConfig
from bert_jax.tokenization.tokenizer import MASK
from bert_jax.training.progress import duration

SECOND = {
    "bert": "next-sentence prediction",
    "balanced": "next-sentence prediction on pairs whose label was drawn",
    "sentence_order": "sentence-order prediction",
    "candidates": "next-sentence prediction among the {group} candidates of a group",
}
MASKED = {"token": "tokens", "whole_word": "tokens, as whole words,", "span": "tokens, as spans of words,"}


def write_report(workdir: epath.PathLike) -> str:
    """Writes `report.md` and `report/curves.png` into a run's folder; returns the text.

    What the run did not record, or what is gone since (its corpus, its checkpoints), is left out.

    Raises:
      ConfigError: no run there.
    """
    run = read_run(workdir)
    gone: list[str] = []
    model = _unless_gone(lambda: load(run.path), gone)
    corpus = _unless_gone(lambda: _corpus_of(run), gone)
    filled = _unless_gone(lambda: fill_held_out_masks(model, corpus), gone) if model and corpus else None
    (run.path / "report").mkdir(exist_ok=True)
    draw_curves(run, run.path / "report" / "curves.png")
    text = "\n".join(
        [
            *_summary(run, model),
            *_corpus(run, corpus),
            *_phases(run),
            *_scores(run),
            "## Curves\n",
            "![curves](report/curves.png)\n",
            *_filled_masks(filled or [], gone),
            *_cost(run),
            *_origin(run),
            *_settings(run.config),
        ]
    )
    storage.write_bytes(run.path / "report.md", text.encode())
    return text


def _unless_gone(read: Callable[[], Any], gone: list[str]) -> Any:
    """What `read` returns; None where it cannot, and then why is added to `gone`."""
    try:
        return read()
    except BertJaxError as error:
        gone.append(str(error))
        return None


def _corpus_of(run: RunRecord) -> Corpus:
    """The corpus as it was; `config.json` has its last place."""
    corpus = open_corpus(run.config.get("data.corpus", ""))
    if corpus.fingerprint not in run.facts.get("corpus", corpus.fingerprint).split():
        raise ConfigError(f"The corpus at {run.config['data.corpus']} is another one than this run was trained on.")
    return corpus


def _summary(run: RunRecord, model: Pretrained | None) -> list[str]:
    config = run.config
    size = sum(array.size for array in jax.tree.leaves(model.params)) if model else None
    second = SECOND.get(config.get("data.examples"), "").format(group=config.get("data.nsp_group_size"))
    steps = f"{run.step:,} steps"
    if run.num_steps and run.step < run.num_steps:
        steps = f"{run.step:,} of {run.num_steps:,} steps (unfinished)"
    parts = [
        f"A BERT of {config.get('model.num_layers')} layers, width {config.get('model.hidden_size')}"
        f" and {config.get('model.num_heads')} heads",
        *([f"with {size:,} parameters"] if size else []),
        f"trained for {steps} of {config.get('train.batch_size')} rows × {config.get('data.sequence_length')} tokens",
        *([f"{_count(run.tokens)} real tokens in all"] if run.tokens else []),
    ]
    objective = "by masked language model" + (f" and {second}." if second else " alone.")
    rate, kind = config.get("data.mask_rate"), MASKED.get(config.get("data.masking"))
    masked = f" {100 * rate:g} % of the {kind} are predicted." if rate and kind else ""
    return [f"# {run.path.name}\n", f"{', '.join(parts)}, {objective}{masked}\n"]


def _corpus(run: RunRecord, corpus: Corpus | None) -> list[str]:
    """Its sources; without the corpus, where it was."""
    if corpus is None:
        return [f"Corpus: `{run.config.get('data.corpus')}`.\n"]
    head = ["source", "training documents", "tokens", "held-out documents", "tokens", "passes in training", "from"]
    rows = []
    for source in corpus.manifest["sources"]:
        counts = [f"{source['splits'][s][k]:,}" for s in ("train", "validation") for k in ("documents", "tokens")]
        _, passes = run.series(f"data/epochs/{source['name']}")
        rows.append([source["name"], *counts, f"{passes[-1]:.2f}" if len(passes) else "", f"`{source['spec']}`"])
    about = f"fingerprint `{corpus.fingerprint}`, vocabulary of {corpus.tokenizer.vocab_size:,}"
    return ["## Corpus\n", f"`{run.config['data.corpus']}`, {about}.\n", *table(head, rows, numbers=True)]


def _phases(run: RunRecord) -> list[str]:
    if not run.phases:
        return []
    lines = [f"- from step {step + 1:,}: {changes}" for step, changes in run.phases]
    return ["Phases; each keeps what it does not name from the one before:\n", *lines, ""]


def _scores(run: RunRecord) -> list[str]:
    if not run.last_evaluation:
        return ["## Held-out scores\n", "None yet: the run was not evaluated so far.\n"]
    rows = []
    for score in scores_of(run):
        value, baseline, gain = score.value(run), score.baseline_value(run), score.gain(run)
        if value is not None:
            against = "" if baseline is None else f"{baseline:.3f} ({baseline_words(score)})"
            better = "" if gain is None else f"{gain:.3f}"
            rows.append([score.title, f"{value:.3f}", against, better])
    lines = table(["", "model", "baseline", "better by"], rows, numbers=True)
    return ["## Held-out scores\n", f"After step {run.last_evaluation['step']:,}.\n", *lines]


def _filled_masks(filled: list[FilledMask], gone: list[str]) -> list[str]:
    if not filled:
        return ["## Filled masks\n", f"None. {' '.join(gone) or 'No held-out sentence is of a fitting length.'}\n"]
    right = sum(row.guesses[0][0] == row.answer for row in filled)
    lines = [
        "## Filled masks\n",
        f"Held-out sentences with one word hidden, and the model's five guesses; the right word is bold. It is the"
        f" first guess in {right} of {len(filled)}.\n",
    ]
    for row in filled:
        guesses = ", ".join(
            f"{f'**{code(word)}**' if word == row.answer else code(word)} {100 * share:.0f} %"
            for word, share in row.guesses
        )
        lines += [
            f"- {f'`{MASK}`'.join(map(plain, row.text.split(MASK)))}  ",
            f"  *{plain(row.answer)}*: {guesses}",
        ]
    return [*lines, ""]


def _cost(run: RunRecord) -> list[str]:
    """Speed, time and cost: what was measured."""
    speed, mfu, wait = (run.median(f"train/{name}") for name in ("tokens_per_second", "mfu", "data_wait"))
    latest = run.starts[-1] if run.starts else {}
    peak = latest.get("matrix_peak")
    measured = {
        "speed": speed is not None and f"{speed:,.0f} real tokens a second (median)",
        "MFU": mfu is not None
        and f"{100 * mfu:.1f} % of the measured matrix peak{f', {_count(peak)} FLOP/s' if peak else ''} (median)",
        "waiting for data": wait is not None and f"{100 * wait:.1f} % of the time (median)",
        "devices": latest.get("devices"),
        "training": run.seconds is not None and duration(run.seconds),
        "evaluation": run.evaluation_seconds is not None and duration(run.evaluation_seconds),
        "operations": run.flops is not None and f"{run.flops:.3g} FLOPs, real tokens only",
        "device hours": run.device_hours is not None and f"{run.device_hours:,.3g}, of training",
        "restarts": bool(run.starts) and (_restarts(run) or "none"),
    }
    rows = [[name, value] for name, value in measured.items() if value]
    if not rows:
        return []
    lost = "What was trained after the last checkpoint before a kill, and trained again, counts once.\n"
    return ["## Speed and cost\n", *table(["", ""], rows), *([lost] if run.restarts else [])]


def _restarts(run: RunRecord) -> str:
    steps = [f"{start['step']:,}" for start in run.restarts if "step" in start]
    return f"{len(run.restarts)}, after step {', '.join(steps)}" if steps else ""


def _origin(run: RunRecord) -> list[str]:
    """Commands, commits and versions: a start is told again where it differs from the one before."""
    lines, told = [], None
    for start in run.starts:
        says = [start.get(name) for name in ("command", "git_commit", "devices")]
        if says == told or not start.get("command"):
            continue
        told = says
        facts = [start.get("time"), f"commit {commit}" if (commit := start.get("git_commit")) else None]
        facts += [start.get("devices"), f"jax {version}" if (version := start.get("jax")) else None]
        when = f"Went on after step {start['step']:,}" if start.get("step") else "Begun"
        lines += [
            f"{when}: {', '.join(map(str, filter(None, facts)))}.\n",
            f"```\n{start['command']}\n```\n",
        ]
    if run.versions:
        lines.append("Versions: " + ", ".join(f"{name} {version}" for name, version in run.versions.items()) + ".\n")
    return ["## How it was made\n", *lines] if lines else []


def _settings(config: dict[str, Any]) -> list[str]:
    defaults = configuration.fields(PretrainingConfig())
    own = {name: value for name, value in config.items() if name not in defaults or value != defaults[name]}
    rows = [[f"`{name}`", _value(value), _value(defaults.get(name, ""))] for name, value in own.items()]
    everything = [[f"`{name}`", _value(value)] for name, value in config.items()]
    return [
        "## Settings\n",
        "What differs from the defaults:\n",
        *table(["field", "value", "default"], rows),
        f"<details>\n<summary>All {len(everything)} fields</summary>\n",
        *table(["field", "value"], everything),
        "</details>\n",
    ]


def _value(value: Any) -> str:
    return configuration.NONE if value is None else str(value)


def _count(number: float) -> str:
    """`12.3 million`."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:,.3g} {word}"
    return f"{number:,.0f}"
