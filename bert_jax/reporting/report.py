"""`report.md`: what was trained on what, how well, and what the model says."""

import dataclasses
import statistics

import jax
import numpy as np
from etils import epath

from bert_jax import configuration, storage
from bert_jax.data.corpus import Corpus, open_corpus
from bert_jax.errors import BertJaxError
from bert_jax.pretrained import Pretrained, load
from bert_jax.reporting.curves import draw_curves
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.tokenizer import MASK
from bert_jax.training.metrics import read_metrics

SENTENCES = 8
BY_SOURCE = "eval/unigram_mlm_loss/"
SHORTEST, LONGEST = 10, 40  # tokens


@dataclasses.dataclass(frozen=True)
class FilledMask:
    """A held-out sentence with one word hidden, that word, and the model's guesses (word, probability)."""

    text: str
    answer: str
    guesses: list[tuple[str, float]]


def write_report(workdir: epath.PathLike) -> str:
    """Writes `report.md` and `report/curves.png` into a finished run's folder; returns the text.

    Raises:
      BertJaxError: the run has no evaluation yet.
    """
    workdir = epath.Path(workdir)
    rows = read_metrics(workdir)
    scores = next((row for row in reversed(rows) if "eval/mlm_loss" in row), None)
    if scores is None:
        raise BertJaxError(f"{workdir} has no evaluation yet: train it further first.")
    model = load(workdir)
    # The folder may have moved since the checkpoint was written; config.json has its last place.
    corpus = open_corpus(storage.read_json(workdir / "config.json")["data"]["corpus"])
    (workdir / "report").mkdir(exist_ok=True)
    draw_curves(rows, workdir / "report" / "curves.png")
    text = "\n".join(
        [
            *_summary(model, corpus, workdir),
            *_scores(scores),
            "![curves](report/curves.png)\n",
            *_speed(rows),
            *_filled_masks(fill_held_out_masks(model, corpus)),
            *_settings(model, workdir),
        ]
    )
    storage.write_bytes(workdir / "report.md", text.encode())
    return text


def fill_held_out_masks(model: Pretrained, corpus: Corpus, count: int = SENTENCES) -> list[FilledMask]:
    """Hides one whole word in each of `count` sentences, spread over the held-out documents, and asks the model."""
    split, tokenizer = corpus.validation, corpus.tokenizer
    filled = []
    num_sentences = len(split.sentence_starts) - 1
    longest = min(LONGEST, model.config.model.max_positions - 2)
    for start in range(0, num_sentences, max(1, num_sentences // (4 * count))):
        ids = np.asarray(split.token_ids[split.sentence_starts[start] : split.sentence_starts[start + 1]]).tolist()
        if not SHORTEST <= len(ids) <= longest or tokenizer.unk_id in ids:
            continue
        words = _whole_words(ids, tokenizer)
        if len(words) < len(ids) // 2:
            continue
        place = words[start % len(words)]
        hidden = f"{tokenizer.decode(ids[:place])} {MASK} {tokenizer.decode(ids[place + 1 :])}"
        guesses = model.fill_mask(hidden)[0]
        answer = tokenizer.decode([ids[place]]).strip()
        filled.append(FilledMask(hidden, answer, [(g.word, g.probability) for g in guesses]))
        if len(filled) == count:
            break
    return filled


def _whole_words(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """Places of words that are one piece, and more than a letter or two where words have letters."""
    begins = tokenizer.word_starts[ids]
    ends = np.append(begins[1:], True)
    texts = [tokenizer.decode([i]).strip() for i in ids]
    return [
        place
        for place, text in enumerate(texts)
        if begins[place] and ends[place] and text.isalpha() and (len(text) > 2 or not text.isascii())
    ]


def _summary(model: Pretrained, corpus: Corpus, workdir) -> list[str]:
    config = model.config
    size = sum(array.size for array in jax.tree.leaves(model.params))
    return [
        f"# {workdir.name}\n",
        f"A BERT of {config.model.num_layers} layers, width {config.model.hidden_size},"
        f" {config.model.num_heads} heads and {size:,} parameters, trained for {model.step:,} steps of"
        f" {config.train.batch_size} rows × {config.data.sequence_length} tokens by masked language model and"
        f" next-sentence prediction.\n",
        f"Corpus: {', '.join(corpus.sources)}:"
        f" {corpus.train.num_documents:,} training documents with {corpus.train.num_tokens:,} tokens,"
        f" {corpus.validation.num_documents:,} held-out ones with {corpus.validation.num_tokens:,};"
        f" vocabulary of {corpus.tokenizer.vocab_size:,}.\n",
    ]


def _scores(scores: dict[str, float]) -> list[str]:
    gain = scores["eval/unigram_mlm_loss"] - scores["eval/mlm_loss"]
    lines = [
        "## Held-out scores\n",
        "| | model | baseline | better by |",
        "|---|---|---|---|",
        f"| masked language model, loss in nats | {scores['eval/mlm_loss']:.3f} |"
        f" {scores['eval/unigram_mlm_loss']:.3f} (word frequencies) | {gain:.3f} |",
        f"| masked language model, accuracy | {scores['eval/mlm_accuracy']:.3f} | | |",
    ]
    if "eval/nsp_majority" in scores:
        above = scores["eval/nsp_accuracy"] - scores["eval/nsp_majority"]
        lines.append(
            f"| next sentence, accuracy | {scores['eval/nsp_accuracy']:.3f} |"
            f" {scores['eval/nsp_majority']:.3f} (majority) | {above:.3f} |"
        )
    if "eval/nsp_chance" in scores:
        accuracy, chance = scores["eval/nsp_accuracy"], scores["eval/nsp_chance"]
        lines.append(
            f"| next sentence among {round(1 / chance)}, accuracy | {accuracy:.3f} | {chance:.3f} (chance) |"
            f" {accuracy - chance:.3f} |"
        )
    for name in (key.removeprefix(BY_SOURCE) for key in scores if key.startswith(BY_SOURCE)):
        loss, baseline = scores[f"eval/mlm_loss/{name}"], scores[BY_SOURCE + name]
        lines.append(
            f"| masked language model on {name}, loss in nats | {loss:.3f} | {baseline:.3f} (word frequencies) |"
            f" {baseline - loss:.3f} |"
        )
    return [*lines, ""]


def _speed(rows) -> list[str]:
    speeds = [row["train/tokens_per_second"] for row in rows if "train/tokens_per_second" in row]
    waits = [row["train/data_wait"] for row in rows if "train/data_wait" in row]
    if not speeds:
        return []
    return [
        f"Speed: {statistics.median(speeds):,.0f} real tokens a second (median);"
        f" {100 * statistics.median(waits):.1f} % of the time spent waiting for data.\n"
    ]


def _filled_masks(filled: list[FilledMask]) -> list[str]:
    lines = ["## Filled masks\n", "Held-out sentences with one word hidden; the right word is bold.\n"]
    for row in filled:
        guesses = ", ".join(
            f"{f'**{word}**' if word == row.answer else word} {100 * share:.0f} %" for word, share in row.guesses
        )
        lines += [f"- {row.text.replace(MASK, f'`{MASK}`')}  ", f"  *{row.answer}*: {guesses}"]
    return [*lines, ""]


def _settings(model: Pretrained, workdir) -> list[str]:
    versions = storage.read_json(workdir / "run.json")["versions"]
    fields = configuration.fields(model.config)
    return [
        "## Settings\n",
        "| field | value |",
        "|---|---|",
        *(f"| `{name}` | {'none' if value is None else value} |" for name, value in fields.items()),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]
