"""Trained models, opened from their folder without the mesh, the data or the flags of their training.

    bert = bert_jax.load("runs/articles")
    bert.fill_mask("Paris is the [MASK] of France.")
    bert.embed(["a sentence", "another"])

Texts are plain text: special tokens typed in them are encoded like any other characters. Only `fill_mask` reads
`[MASK]` as the mask.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath

from bert_jax import summaries, tagger
from bert_jax.answering import answer_questions
from bert_jax.answers import Choice, Encoding, Guess, Label, TextScore
from bert_jax.batch import Batch
from bert_jax.corpus.sentences import sentences_of
from bert_jax.data.texts import EncodedTexts, PackedBatch, encode, packed_batches
from bert_jax.errors import CheckpointError, ConfigError, TokenizerError, quoted
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.tokenizer_files import hugging_face_tokenizer_files
from bert_jax.model.bert import Bert
from bert_jax.model.composite import Composite
from bert_jax.model.config import ModelConfig
from bert_jax.model.intermediates import with_intermediates
from bert_jax.model.pooling import embed
from bert_jax.model_card import model_card
from bert_jax.model_file import write_model
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import NUMBER, ONE, SEVERAL, Labels
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.tokenization import Tokenizer
from bert_jax.training.progress import Progress

TEXTS_AT_ONCE = 4096  # of a generator; so many are in memory
SCORED_AT_ONCE = 256  # texts; each is a batch or several
# In a batch. On CPU, the activations of more tokens do not fit into the cache.
TOKENS_AT_ONCE, TOKENS_AT_ONCE_ON_CPU = 4096, 1024
POOLINGS = ("mean", "max", "cls", "pooler")
PRETRAINED_PARTS = ("mlm", "nsp", "pooler")  # what BERT's pretraining gives besides the body

Text = str | tuple[str, str]


@dataclasses.dataclass(frozen=True, repr=False)
class Pretrained:
    """A trained model. Its objectives decide which methods can be used.

    A method that takes several texts returns one result for each, in order. A text that is longer than `max_tokens`
    loses its end, and a warning says how many did.

    Attributes:
      source: the folder that it is from.
      config: the config of the body.
      objectives: the objectives of its heads.
      params: the parameters, a tree of arrays.
      tokenizer: the tokenizer.
      max_tokens: the longest input, with special tokens.
      task: the name of the task that it was trained for; empty if another project trained it.
      run: the config of its run; None if another project trained it.
      step: the number of steps after which it was saved, if it was a run.
      pooling: the default of `embed`.
      normalize: the default of `embed`.
    """

    source: str
    config: ModelConfig
    objectives: Sequence[Objective]
    params: Any
    tokenizer: Tokenizer
    max_tokens: int
    task: str = ""
    run: Any = None
    step: int | None = None
    pooling: str = "mean"
    normalize: bool = False

    def __repr__(self) -> str:
        heads = ", ".join(one.name for one in self.objectives) or "no heads"
        # A run has the heads of its task, a released folder any.
        if not self.task and (missing := [name for name in PRETRAINED_PARTS if not self._has(name)]):
            heads += f" (without {', '.join(missing)})"
        step = "" if self.step is None else f", step {self.step:,}"
        return (
            f"Pretrained({self.source}: {self.config.num_layers} layers, width {self.config.hidden_size},"
            f" {self.tokenizer.vocab_size:,} words, {heads}{step})"
        )

    def _has(self, part: str) -> bool:
        return part in self.params["bert"] or any(one.name == part for one in self.objectives)

    @functools.cached_property
    def model(self) -> Composite:
        """The linen module whose parameters are `params`."""
        return Learner(self.config, tuple(self.objectives)).model

    def fill_mask(self, text: str | Iterable[str], top: int = 5) -> Any:
        """Returns the `top` most likely words for each `[MASK]` of a text, in order.

        Args:
          text: one text, or several.
          top: how many words for each mask.

        Returns:
          A list of `Guess` for each mask; for several texts, a list of such lists.

        Raises:
          CheckpointError: the model was not trained to predict words.
          TokenizerError: a text has no `[MASK]`, or more tokens than the model takes.
        """
        if not isinstance(text, str):
            return [self.fill_mask(one, top) for one in text]
        objective = self.objective(MaskedWords, "predict words")
        ids = self.tokenizer.encode_masked(text)
        if not ids.count(self.tokenizer.mask_id):
            raise TokenizerError("There is no [MASK] in the text: put one in place of a word.")
        if len(ids) + 2 > self.max_tokens:
            raise TokenizerError(
                f"The text has {len(ids) + 2} tokens, but the model takes at most {self.max_tokens}: shorten it."
            )
        (packed,) = self._packed(EncodedTexts.of([(ids, ())], self.max_tokens))
        masked = np.flatnonzero(packed.batch["token_ids"][0] == self.tokenizer.mask_id)
        logits = self._word_logits(packed.batch, objective, masked[None])[0]
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        best = np.argsort(-probabilities, axis=-1)[:, :top]
        return [
            [Guess(self.tokenizer.decode([i]).strip(), float(row[i])) for i in order]
            for row, order in zip(probabilities, best, strict=True)
        ]

    def score(self, texts: str | Iterable[str]) -> Any:
        """Returns the pseudo-log-likelihood of each text: how likely each token is, given all others.

        Args:
          texts: one text, or several.

        Returns:
          A `TextScore`, or a list of them.

        Raises:
          CheckpointError: the model was not trained to predict words.
        """
        objective = self.objective(MaskedWords, "predict words")
        if isinstance(texts, str):
            return self.score([texts])[0]
        result = []
        for encoded in self._windows(texts, SCORED_AT_ONCE):
            length = encoded.segments.a_length
            # Each text once for each of its tokens, in which that token is masked.
            text = np.repeat(np.arange(len(length)), length)
            token = np.arange(len(text)) - np.repeat(np.cumsum(length) - length, length)
            copies = EncodedTexts(encoded.token_ids, encoded.segments.take(text), 0)
            totals = np.zeros(len(length))
            for packed in self._packed(copies):
                found = self._masked_token_likelihoods(packed, token[packed.index], objective)
                np.add.at(totals, text[packed.index], found)
            result += [TextScore(float(total), int(n)) for total, n in zip(totals, length, strict=True)]
        return result

    def _masked_token_likelihoods(self, packed: PackedBatch, token: np.ndarray, objective: MaskedWords) -> np.ndarray:
        """Masks one token of each example, and returns its log-probability, float32 [examples].

        Args:
          packed: the examples; changed in place.
          token: int64 [examples], counted from the first ordinary token.
          objective: the objective with the head.
        """
        batch, place = packed.batch, packed.first + 1 + token
        targets = batch["token_ids"][packed.row, place]
        batch["token_ids"][packed.row, place] = self.tokenizer.mask_id
        masked = np.zeros_like(batch["cls_positions"])
        masked[packed.row, packed.slot] = place
        logits = self._word_logits(batch, objective, masked)[packed.row, packed.slot]
        chosen = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
        return np.asarray(chosen - jax.nn.logsumexp(logits, axis=-1))

    def _word_logits(self, batch: Batch, objective: MaskedWords, masked: np.ndarray) -> jax.Array:
        """Logits [B, K, V] of the tokenizer's words. A word table may have more rows, which mean nothing."""
        batch = batch | {"masked_positions": masked.astype(np.int32)}
        return self.predict(objective.name, batch)[..., : self.tokenizer.vocab_size]

    def embed(
        self,
        texts: str | Iterable[Text],
        pooling: str | None = None,
        normalize: bool | None = None,
        width: int | None = None,
    ) -> np.ndarray:
        """Returns a vector for each text or pair of texts: float32 [texts, width], or [width] for a single text.

        Args:
          texts: one text, or several texts or pairs; any iterable.
          pooling: `mean` or `max` over an example's tokens, special tokens included; `cls`, the first token; `pooler`,
            the first token after BERT's tanh layer. None: as the model was trained to embed, or its folder says, else
            `mean`.
          normalize: whether to divide each vector by its length. None: as for `pooling`, else not.
          width: how many numbers of each vector to keep, from the first one on; a model that was trained with
            Matryoshka sizes can be cut to these. None: all H.

        Raises:
          ConfigError: there is no such pooling, or a vector has fewer numbers.
          CheckpointError: the model has no pooler.
        """
        pooling = self.pooling if pooling is None else pooling
        normalize = self.normalize if normalize is None else normalize
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling={pooling!r} is not one of {', '.join(POOLINGS)}.")
        if pooling == "pooler" and not self._has("pooler"):
            raise CheckpointError(f"This model has no pooler, and none is made up: use another pooling. ({self!r})")
        if isinstance(texts, str):
            return self.embed([texts], pooling, normalize, width)[0]
        if width is not None and not 1 <= width <= self.config.hidden_size:
            raise ConfigError(f"width={width} must lie between 1 and the model's {self.config.hidden_size}.")
        found = [np.zeros((0, self.config.hidden_size), np.float32)]
        for encoded in self._windows(texts):
            vectors = np.empty((len(encoded.segments), self.config.hidden_size), np.float32)
            for packed in self._packed(encoded):
                pooled = self._pooled(self._rounded_params, packed.batch, pooling)
                vectors[packed.index] = np.asarray(pooled)[packed.row, packed.slot]
            found.append(vectors)
        result = np.concatenate(found)[:, :width]
        return result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12) if normalize else result

    def next_sentence(self, first: str | Sequence[str], second: str | Sequence[str]) -> Any:
        """Returns the probability that `second` follows `first`; for sequences, float32 [pairs].

        Raises:
          CheckpointError: the model was not trained to predict the next sentence.
        """
        objective = self.objective(SentencePairs, "predict the next sentence")
        if objective.question != "next sentence":
            raise CheckpointError(
                f"This model was trained on the {objective.question}, not the next sentence: {self!r}."
            )
        if isinstance(first, str) and isinstance(second, str):
            return float(self.next_sentence([first], [second])[0])
        pairs = list(zip(first, second, strict=True))
        return self._labelled(pairs, objective.name, jax.nn.softmax, two_types=True)[:, 0]

    def classify(self, texts: Iterable[Text]) -> list[Label]:
        """Returns the label of each text, or pair of texts.

        Raises:
          CheckpointError: the model was not trained to label texts.
        """
        objective = self._text_labels((ONE, SEVERAL), "label texts")
        several = objective.choose == SEVERAL
        found = self._labelled(texts, objective.name, jax.nn.sigmoid if several else jax.nn.softmax)
        labels = []
        for row in found:
            probabilities = dict(zip(objective.names, row.tolist(), strict=True))
            chosen = [n for n, p in probabilities.items() if p > 0.5] if several else [objective.names[row.argmax()]]
            labels.append(Label(tuple(chosen), probabilities))
        return labels

    def regress(self, texts: str | Iterable[Text]) -> Any:
        """Returns the number that the model predicts for a text; for several texts or pairs, float32 [texts].

        Raises:
          CheckpointError: the model was not trained to predict a number.
        """
        if isinstance(texts, str):
            return float(self.regress([texts])[0])
        objective = self._text_labels((NUMBER,), "predict a number")
        return self.head_outputs(texts, objective.name)[:, 0]

    def choose(self, question: str | Sequence[str], candidates: Sequence[Any]) -> Any:
        """Returns the most likely of a question's candidates.

        Args:
          question: one question, or several.
          candidates: those of the question, any number of texts; for several questions, a list for each.

        Returns:
          A `Choice`; for several questions, a list.

        Raises:
          CheckpointError: the model was not trained on multiple choice.
          ConfigError: a question has no candidates.
        """
        if isinstance(question, str):
            return self.choose([question], [candidates])[0]
        objective = self.objective(Choices, "choose among candidates")
        counts = [len(one) for one in candidates]
        if not all(counts):
            raise ConfigError(f"The question {quoted(question[counts.index(0)])} has no candidates: give at least one.")
        pairs = [(text, one) for text, several in zip(question, candidates, strict=True) for one in several]
        scores = self.head_outputs(pairs, objective.name)[:, 0]
        result = []
        for end, count in zip(itertools.accumulate(counts), counts, strict=True):
            shares = np.exp(scores[end - count : end] - scores[end - count : end].max())
            result.append(Choice(int(shares.argmax()), tuple((shares / shares.sum()).tolist())))
        return result

    def tag(self, texts: str | Iterable[str | Sequence[str]]) -> Any:
        """Returns the entities in each text; if tags are classes of words, such as parts of speech, all its words.

        Texts may have any length. A text is split at white space and punctuation, and at each character of a script
        without blanks (`data.words`). A list of words is taken as it is.

        Args:
          texts: one text, or several texts or lists of words.

        Returns:
          A list of `Mention`; for several texts, a list of such lists.

        Raises:
          CheckpointError: the model was not trained to tag words.
        """
        if isinstance(texts, str):
            return self.tag([texts])[0]
        return list(tagger.tag_texts(self, self.token_labels(), texts))

    def tag_words(self, sentences: Iterable[Sequence[str]]) -> list[list[tuple[str, float]]]:
        """Returns the tag of each word of each sentence, and its probability.

        Args:
          sentences: the words of each, of any length.

        Raises:
          CheckpointError: the model was not trained to tag words.
        """
        return list(tagger.tag_words(self, self.token_labels(), sentences))

    def answer(
        self, question: str | Sequence[str], context: str | Sequence[str], top: int = 5, threshold: float | None = None
    ) -> Any:
        """Returns the answer to a question, cut from a passage of any length.

        A passage that is longer than a row is read in overlapping windows, and the best span of all windows is the
        answer.

        Args:
          question: one question, or several.
          context: the passage; for several questions, one for all or one for each.
          top: how many candidates to return.
          threshold: the passage has no answer if "no answer" scores higher than the best candidate by more than this,
            in nats. None: the threshold that was best on the validation file; a model that had an answer to each
            training question, or that another project trained, then always answers.

        Returns:
          An `Answer`; for several questions, a list.

        Raises:
          CheckpointError: the model was not trained to answer questions.
        """
        objective = self.objective(Spans, "answer questions")
        if isinstance(question, str):
            return self.answer([question], context, top, threshold)[0]
        contexts = [context] * len(question) if isinstance(context, str) else list(context)
        if len(contexts) != len(question):
            raise ConfigError(f"There are {len(question)} questions, but {len(contexts)} passages: give one for each.")
        return answer_questions(self, objective, list(question), contexts, top, threshold)

    def packed_outputs(self, encoded: EncodedTexts, name: str) -> Iterator[tuple[PackedBatch, jax.Array]]:
        """Yields examples packed into batches, and what the head of this name says of each batch."""
        for packed in self._packed(encoded):
            yield packed, self.predict(name, packed.batch)

    def summarize(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        sentences: int | None = None,
        block_trigrams: bool | None = None,
        language: str | None = None,
    ) -> Any:
        """Returns the sentences of a document that make a summary of it. They are chosen, none is written.

        Args:
          text: a document of any length: a text, or its sentences; several documents are a list of lists of sentences.
          sentences: how many to choose. None: as in training, like the following.
          block_trigrams: whether to pass over a sentence that shares three words in a row with a chosen one.
          language: a two-letter code, whose rules split a text into sentences.

        Returns:
          A `Summary`; for several documents, a list.

        Raises:
          CheckpointError: the model was not trained to summarize.
          ConfigError: `sentences` is below 1.
        """
        objective = self.objective(SummarySentences, "summarize")
        if sentences is not None and sentences < 1:
            raise ConfigError(f"sentences={sentences} must be at least 1.")
        changes = {"num_sentences": sentences, "block_trigrams": block_trigrams}
        objective = dataclasses.replace(objective, **{k: v for k, v in changes.items() if v is not None})
        data = self.run.data
        if isinstance(text, str):
            text = sentences_of(text, language or data.language)
        is_one = not text or isinstance(text[0], str)
        documents: Any = [text] if is_one else text

        def predict(batch: Batch) -> np.ndarray:
            return np.asarray(self.predict(objective.name, batch))

        found = summaries.summarize(documents, objective, predict, self.tokenizer, self.max_tokens, data.overlap)
        return found[0] if is_one else found

    def head_outputs(self, texts: Iterable[Text], name: str) -> np.ndarray:
        """Returns what a head that scores examples says of each text, or pair of texts: logits, float32 [texts, C].

        Args:
          texts: any number of them.
          name: the name of the head's objective.
        """
        return self._labelled(texts, name, jnp.asarray)

    def token_labels(self) -> Labels:
        """Returns the objective that tags words.

        Raises:
          CheckpointError: there is none.
        """
        ability = "tag words"
        objective = self.objective(Labels, ability)
        if objective.choose != ONE or not objective.of_tokens:
            raise CheckpointError(f"This model was not trained to {ability}: {self!r}.")
        return objective

    def _text_labels(self, choices: Sequence[str], ability: str) -> Labels:
        objective = self.objective(Labels, ability)
        if objective.choose not in choices or objective.of_tokens:
            raise CheckpointError(f"This model was not trained to {ability}: {self!r}.")
        return objective

    def encode(self, texts: str | Iterable[Text]) -> Any:
        """Returns the pieces, hidden states and attention maps of each text, or pair of texts.

        Returns:
          An `Encoding`, or a list of them.
        """
        if isinstance(texts, str):
            return self.encode([texts])[0]
        result = []
        for encoded in self._windows(texts):
            found: list[Any] = [None] * len(encoded.segments)
            for packed in self._packed(encoded):
                states, maps = self.intermediates(packed.batch)
                for i, row, first in zip(packed.index, packed.row, packed.first, strict=True):
                    inside = slice(first, first + int(encoded.segments.length[i]))
                    pieces = tuple(self.tokenizer.vocabulary[t] for t in packed.batch["token_ids"][row, inside])
                    found[i] = Encoding(pieces, states[:, row, inside], maps[:, row, :, inside, inside])
            result += found
        return result

    def packed_texts(self, texts: Iterable[Text]) -> Iterator[tuple[Batch, list[tuple[int, slice]]]]:
        """Packs texts, or pairs of texts, into batches, in any order.

        Yields:
          The core columns of a batch, and the place of each of its texts: the row, and the tokens in that row.
        """
        for encoded in self._windows(texts):
            for packed in self._packed(encoded):
                ends = packed.first + encoded.segments.length[packed.index]
                places = zip(packed.row.tolist(), packed.first.tolist(), ends.tolist(), strict=True)
                yield packed.batch, [(row, slice(first, end)) for row, first, end in places]

    def intermediates(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Returns the hidden states of a batch, [L + 1, B, S, H], and its attention maps, float32 [L, B, heads, S, S].

        Args:
          batch: the core columns.
        """
        states, maps = self._intermediates(self._rounded_params, batch)
        return np.stack(states), np.stack(maps)

    def save_checkpoint(self, folder: epath.PathLike) -> None:
        """Writes the model in this package's own format, which expresses every model: a checkpoint without a run.

        `bert_jax.load` opens it, and `train.init_from` takes it.

        Args:
          folder: is made; must be new or empty.

        Raises:
          ConfigError: the folder holds something else.
          WriteError: it cannot be written.
        """
        write_model(self, folder)

    def save_huggingface(
        self, folder: epath.PathLike, sentence_pooling: str = "", heads: Sequence[str] | None = None
    ) -> None:
        """Writes the model for Hugging Face: weights, config, tokenizer, and a model card.

        `transformers` then opens it by `AutoModelForMaskedLM.from_pretrained(folder)` and the like, and
        `AutoTokenizer`; `bert_jax.load` does, too.

        Args:
          folder: is made; files in it are replaced.
          sentence_pooling: `mean`, `max` or `cls`, to write a folder for sentence-transformers without heads. It
            normalises embeddings if `normalize` says so.
          heads: the names of the heads to write, such as `["mlm"]`; None: all. Those of a model that pools by mean or
            maximum must be left out if they read the pooled vector (`nsp`, `label`, `choice`).

        Raises:
          ConfigError: Hugging Face's BERT cannot express the model.
          TokenizerError: it cannot express the tokenizer.
        """
        if sentence_pooling not in ("", *POOLINGS[:3]):
            raise ConfigError(f"sentence_pooling={sentence_pooling!r} is not one of {', '.join(POOLINGS[:3])}.")
        # The head of words has no parameters if it has no transform, no bias and no table of its own.
        there = {*self.params, *(one.name for one in self.objectives if isinstance(one, MaskedWords))}
        wanted = there if heads is None else set(heads) & there
        written = [one for one in self.objectives if one.name in wanted and not sentence_pooling]
        params = {name: self.params[name] for name in ("bert", *(one.name for one in written)) if name in self.params}
        tokenizer = self.tokenizer
        files = hugging_face_tokenizer_files(tokenizer, self.max_tokens, self.config.num_token_types > 1)
        files["README.md"] = model_card(self, written, sentence_pooling).encode()
        ids = {"pad": tokenizer.pad_id, "mask": tokenizer.mask_id}
        ids |= {"cls": tokenizer.cls_id, "sep": tokenizer.sep_id, "bos": tokenizer.cls_id, "eos": tokenizer.sep_id}
        write_folder(
            folder,
            self.config,
            params,
            written,
            files,
            sentence_pooling,
            self.max_tokens,
            self.normalize,
            {f"{name}_token_id": i for name, i in ids.items()},
        )

    def _labelled(self, texts: Iterable[Text], name: str, activation: Any, two_types: bool = False) -> np.ndarray:
        """The activation of the logits of a head that labels examples: float32 [texts, C]."""
        found = []
        for encoded in self._windows(texts, two_types=two_types):
            rows: Any = None
            for packed, output in self.packed_outputs(encoded, name):
                values = np.asarray(activation(output))
                rows = np.empty((len(encoded.segments), values.shape[-1]), np.float32) if rows is None else rows
                rows[packed.index] = values[packed.row, packed.slot]
            found.append(rows)
        return np.concatenate(found) if found else np.zeros((0, 1), np.float32)

    def _windows(
        self, texts: Iterable[Text], at_once: int = TEXTS_AT_ONCE, two_types: bool = False
    ) -> Iterator[EncodedTexts]:
        """Encodes some texts after the other, with progress for long lists."""
        total = len(texts) if isinstance(texts, Sequence) else 0
        progress = Progress(0, total, quiet=total <= at_once)
        rest, done, num_cut = iter(texts), 0, 0
        while window := list(itertools.islice(rest, at_once)):
            pairs = [(text, None) if isinstance(text, str) else text for text in window]
            encoded = encode(pairs, self.tokenizer, self.max_tokens, two_types)
            num_cut += encoded.num_cut
            yield encoded
            done += len(window)
            progress.note(f"{done:,} of {total:,} texts")
        if num_cut:
            logging.warning(
                "Texts with more than %d tokens, whose ends are not used: %d of %d.", self.max_tokens, num_cut, done
            )

    def _packed(self, encoded: EncodedTexts) -> Iterator[PackedBatch]:
        at_once = TOKENS_AT_ONCE_ON_CPU if jax.default_backend() == "cpu" else TOKENS_AT_ONCE
        return packed_batches(encoded, self.tokenizer, at_once)

    @functools.cached_property
    def _predictors(self) -> dict[str, Any]:
        """A compiled function for each head, from parameters and a batch to its prediction."""
        return {one.name: jax.jit(Learner(self.config, (one,)).predict) for one in self.objectives}

    def predict(self, name: str, batch: Batch) -> Any:
        """Returns what the head of this name says of a batch."""
        return self._predictors[name](self._rounded_params, batch)[name]

    def cached(self, make: Callable[..., Any], *names: Any) -> Any:
        """Returns `make(self, *names)`, such as a compiled function, which is made once and kept with this model."""
        if (key := (make, *names)) not in self._made:
            self._made[key] = make(self, *names)
        return self._made[key]

    @functools.cached_property
    def _made(self) -> dict[Any, Any]:
        return {}

    @functools.cached_property
    def _rounded_params(self) -> Any:
        """The parameters with kernels in the dtype of products: otherwise each batch would round them anew."""
        return jax.tree.map_with_path(
            lambda path, x: jnp.asarray(x, self.config.dtype) if path[-1].key == "kernel" else x, self.params
        )

    @functools.cached_property
    def _pooled(self) -> Any:
        bert = Bert(self.config)

        def pooled(params: Any, batch: Batch, pooling: str) -> jax.Array:
            hidden: Any = bert.apply({"params": params["bert"]}, batch, method="encode")
            if pooling == "pooler":
                vectors: Any = bert.apply({"params": params["bert"]}, hidden, batch, method="pool")
                return vectors.astype(jnp.float32)
            return embed(hidden, batch, pooling)

        return jax.jit(pooled, static_argnums=2)

    @functools.cached_property
    def _intermediates(self) -> Any:
        def intermediates(params: Any, batch: Batch) -> Any:
            _, found = with_intermediates(Composite(self.config, ()), params, batch)
            return found.hidden_states, found.attention_maps

        return jax.jit(intermediates)

    def objective(self, kind: type, what: str) -> Any:
        """Returns the first objective of a kind.

        Raises:
          CheckpointError: there is none.
        """
        for objective in self.objectives:
            if isinstance(objective, kind):
                return objective
        raise CheckpointError(f"This model was not trained to {what}: {self!r}.")
