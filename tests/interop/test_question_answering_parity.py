"""Answers, and twenty steps of training, beside `AutoModelForQuestionAnswering`.

`transformers` no longer has a pipeline for this, so that its steps are written out here, as its examples have them: its
own tokenizer divides passages and says where tokens come from; every span of every window is scored.
"""

import json

import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import bert_jax  # noqa: E402
from bert_jax.interop.hugging_face_config import write_config  # noqa: E402
from bert_jax.model.config import ModelConfig  # noqa: E402
from bert_jax.optim.schedules import make_schedule  # noqa: E402
from bert_jax.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig  # noqa: E402
from bert_jax.training.run import prepare, run  # noqa: E402
from bert_jax.training.workdir.metrics import read_metrics  # noqa: E402

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?()-東京天氣αςσ"
WORDS = [
    "who",
    "led",
    "rollo",
    "was",
    "a",
    "norse",
    "leader",
    "the",
    "normans",
    "came",
    "##s",
    "den",
    "##mark",
    "istanbul",
]
VOCABULARY = [*dict.fromkeys([*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])]
CONFIG = ModelConfig(
    vocab_size=len(VOCABULARY), num_layers=2, hidden_size=32, num_heads=2, intermediate_size=48, max_positions=64
)
CONTEXTS = [
    "Rollo was a  Norse leader; the Normans came from Denmark, Iceland and Norway.  " * 6,
    "İstanbul, Zoë, ΟΔΟΣ: São Paulo (1958) 東京天氣. Rollo led the Normans. " * 4,
    "The Normans.",
]
QUESTIONS = ["Who led the Normans?", "Where is İstanbul?", "Who was Rollo, " * 20 + "who?"]
LONGEST = 30  # tokens of an answer


@pytest.fixture
def folder(tmp_path):
    """A folder that `transformers` wrote, with random weights wide enough to choose."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**write_config(CONFIG) | {"initializer_range": 0.5})
    transformers.BertForQuestionAnswering(config).eval().save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs/vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (tmp_path / "theirs/tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    )
    return tmp_path / "theirs"


def answer_by_hand(folder, question, context, width):
    """The best span of all windows, its score, and the lowest score of [CLS]."""
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(question, add_special_tokens=False)["input_ids"][: width // 2]
    room, stride = width - 3 - len(asked), (width - 3 - width // 2) // 2
    features = tokenizer(
        tokenizer.decode(asked),
        context,
        truncation="only_second",
        max_length=width,
        stride=room - stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    offsets = features.pop("offset_mapping").numpy()
    features.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        output = model(**features)
    best, nulls = (-np.inf, 0, 0), []
    for i, (starts, ends) in enumerate(zip(output.start_logits.numpy(), output.end_logits.numpy(), strict=True)):
        nulls.append(starts[0] + ends[0])
        inside = [k for k, segment in enumerate(features.sequence_ids(i)) if segment == 1]
        for s in inside:
            for e in (k for k in inside if s <= k < s + LONGEST):
                best = max(best, (starts[s] + ends[e], -offsets[i, s, 0], -offsets[i, e, 1]))
    return len(nulls), context[-best[1] : -best[2]], best[0], min(nulls)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_answers_are_theirs_over_all_windows(folder, question, context):
    bert = bert_jax.load(folder)
    found = bert.answer(question, context)
    windows, text, score, null = answer_by_hand(folder, question, context, CONFIG.max_positions)
    assert windows == 1 if context == CONTEXTS[2] else windows > 3
    assert (found.text, found.candidates[0].text) == (text, text)
    assert context[found.start : found.end] == text
    assert found.null_score == pytest.approx(null - score, abs=1e-4)
    says_none = bert.answer(question, context, threshold=null - score - 0.01)
    assert (says_none.text, says_none.candidates[0].text) == ("", text)


def test_what_we_write_answers_the_same_there(folder, tmp_path):
    bert = bert_jax.load(folder)
    bert.save_huggingface(tmp_path / "again")
    for question, context in zip(QUESTIONS, CONTEXTS, strict=True):
        _, text, score, null = answer_by_hand(tmp_path / "again", question, context, CONFIG.max_positions)
        found = bert.answer(question, context)
        assert found.text == text
        assert found.null_score == pytest.approx(null - score, abs=1e-4)


def write_questions(path, count, seed):
    rng = np.random.default_rng(seed)
    paragraphs = []
    for i in range(count):
        text = list(rng.choice(["Rollo", "was", "a", "Norse", "leader", "the", "Normans", "came"], 40))
        place = int(rng.integers(len(text)))
        start = len(" ".join([*text[:place], ""]))
        answers = [{"text": text[place], "answer_start": start}] * int(rng.random() > 0.3)
        paragraphs.append(
            {"context": " ".join(text), "qas": [{"id": str(i), "question": "Who led?", "answers": answers}]}
        )
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return str(path)


def test_twenty_steps_of_training_have_their_losses(folder, tmp_path):
    """The same weights, rows, rates and optimiser, without dropout; where there is no padding, this is their loss."""
    config = QuestionAnsweringConfig()
    config.data.train = write_questions(tmp_path / "train.json", 90, 0)
    config.data.validation = write_questions(tmp_path / "validation.json", 8, 1)
    config.data.sequence_length, config.data.max_examples, config.data.max_question_tokens = 32, 1, 8
    config.train.init_from, config.train.num_steps, config.train.batch_size = str(folder), 20, 8
    config.train.log_every, config.eval.every, config.train.checkpoint_every = 1, 20, 20
    config.model.dropout = config.model.attention_dropout = 0.0
    config.optimizer.learning_rate, config.optimizer.warmup_ratio = 1e-3, 0.1
    stream = prepare(QuestionAnswering(), config).task.stream
    run(QuestionAnswering(), config, tmp_path / "run")
    ours = [row["train/span_loss"] for row in read_metrics(tmp_path / "run") if "train/span_loss" in row]

    model = transformers.AutoModelForQuestionAnswering.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    ).train()
    named = dict(model.named_parameters())
    free = {name for name in named if name.endswith(".bias") or "LayerNorm" in name}
    settings, theirs = config.optimizer, []
    groups = [
        {"params": [p for name, p in named.items() if name not in free], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named.items() if name in free], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(settings.b1, settings.b2), eps=settings.epsilon)
    schedule = make_schedule(settings, config.train.num_steps)
    without = 0
    for step in range(config.train.num_steps):
        batch = stream.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = float(schedule(step))
        optimizer.zero_grad()
        starts, ends = (torch.tensor(batch[name][:, 0]).long() for name in ("span_starts", "span_ends"))
        without += int((starts == 0).sum())
        mask = torch.tensor(batch["example_ids"]).long()
        output = model(
            input_ids=torch.tensor(batch["token_ids"]).long(),
            token_type_ids=torch.tensor(batch["token_type_ids"]).long(),
            attention_mask=mask,
        )
        # Theirs takes the softmax over padding, too: so that it would change with the length of the others.
        parts = ((output.start_logits, starts), (output.end_logits, ends))
        loss = sum(torch.nn.functional.cross_entropy(x.masked_fill(mask == 0, -1e30), y) for x, y in parts) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        theirs.append(loss.item())
    assert 0 < without < 160  # windows with and without the answer
    assert np.ptp(theirs) > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
