"""Twenty steps of fine-tuning beside `transformers` and PyTorch: packed rows here, padded ones there, the same losses.

Initial weights, examples of each step, rates and AdamW are the same, and there is no dropout.
"""

import itertools

import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import jax  # noqa: E402

import bert_jax  # noqa: E402
from bert_jax import sharding  # noqa: E402
from bert_jax.data.labelled import LabelledStream, LabelledTexts, Rows  # noqa: E402
from bert_jax.data.texts import encode  # noqa: E402
from bert_jax.objectives.labels import NUMBER  # noqa: E402
from bert_jax.objectives.learner import Learner  # noqa: E402
from bert_jax.optim.optimizer import OptimizerConfig  # noqa: E402
from bert_jax.sharding import MeshConfig  # noqa: E402
from bert_jax.tasks.classification import ClassificationConfig  # noqa: E402
from bert_jax.training.program import make_program  # noqa: E402
from tests.interop.test_head_parity import HEADS, WORDS, theirs  # noqa: E402
from tests.optim.test_lora import by_name  # noqa: E402

TOLERANCE = 1e-5
STEPS, ROWS, WIDTH, SLOTS, EXAMPLES = 20, 3, 32, 4, 60
# Weight decay and epsilon are large enough for their share of the losses to exceed the tolerance; some gradients are
# clipped.
OPTIMIZER = OptimizerConfig(learning_rate=3e-3, warmup_steps=4, epsilon=1e-4, weight_decay=0.5, clip_norm=1.0)


def labelled(objective, tokenizer) -> LabelledTexts:
    """Texts and pairs of 1 to 9 words each, with random labels."""
    rng = np.random.default_rng(0)
    words = [word for word in WORDS if word.isalpha()]

    def text() -> str:
        return " ".join(rng.choice(words, rng.integers(1, 10)))

    texts = encode([(text(), text() if rng.random() < 0.5 else None) for _ in range(EXAMPLES)], tokenizer, WIDTH)
    size = len(texts.token_ids) if objective.of_tokens else EXAMPLES
    if objective.choose == NUMBER:
        labels = rng.normal(size=size).astype(np.float32)
    else:
        labels = rng.integers(0, len(objective.names), size).astype(np.int32)
    # Tags are learned for some of the words only, as for first pieces.
    weights = (rng.random(size) < (0.7 if objective.of_tokens else 2)).astype(np.float32)
    columns = {"labels": labels, "label_weights": weights}
    return LabelledTexts(texts, token_columns=columns) if objective.of_tokens else LabelledTexts(texts, columns)


def ours(bert, batches) -> tuple[list[float], list[float]]:
    """The losses and the norms of the gradients, of the step that a run takes."""
    config = ClassificationConfig(model=bert.config, optimizer=OPTIMIZER)
    learner = Learner(bert.config, bert.objectives)
    mesh = sharding.make_mesh(MeshConfig(), jax.devices()[:1])
    found = []
    with jax.default_matmul_precision("highest"), jax.set_mesh(mesh), sharding.rules():
        program = make_program(learner, config, STEPS, 1, mesh)
        state = program.make_state(by_name(bert.params))
        for batch in batches:
            learner.check(batch)
            state, metrics = program.train_step(state, batch)
            found.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    return tuple(zip(*found, strict=True))


def padded(batch, objective) -> dict[str, "torch.Tensor"]:
    """The examples of packed rows, a row each, and their labels."""
    rows: dict[str, list] = {name: [] for name in ("input_ids", "token_type_ids", "attention_mask", "labels")}

    def filled(values, padding: int):
        return np.concatenate([values, np.full(WIDTH - len(values), padding)])

    for row, slot in itertools.product(range(ROWS), range(SLOTS)):
        (inside,) = np.nonzero(batch["example_ids"][row] == slot + 1)
        if not len(inside):
            continue
        rows["input_ids"].append(filled(batch["token_ids"][row, inside], 0))
        rows["token_type_ids"].append(filled(batch["token_type_ids"][row, inside], 0))
        rows["attention_mask"].append(filled(np.ones(len(inside), int), 0))
        if objective.of_tokens:
            counted = batch["label_weights"][row, inside] > 0
            rows["labels"].append(filled(np.where(counted, batch["labels"][row, inside], -100), -100))
        else:
            rows["labels"].append(batch["labels"][row, slot])
    tensors = {name: torch.tensor(np.array(values)) for name, values in rows.items()}
    return {name: value if value.is_floating_point() else value.long() for name, value in tensors.items()}


def peers(model, batches, objective) -> list[float]:
    """The losses of PyTorch's AdamW and the schedule of `transformers`."""
    free = {name for name, _ in model.named_parameters() if name.endswith(".bias") or "LayerNorm" in name}
    groups = [
        {"params": [p for n, p in model.named_parameters() if (n in free) == without], "weight_decay": decay}
        for without, decay in ((False, OPTIMIZER.weight_decay), (True, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, OPTIMIZER.learning_rate, (OPTIMIZER.b1, OPTIMIZER.b2), OPTIMIZER.epsilon)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, OPTIMIZER.warmup_steps, STEPS)
    found = []
    for batch in batches:
        loss = model(**padded(batch, objective)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER.clip_norm)
        optimizer.step()
        schedule.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("name", ["one", "number", "tags"])
def test_losses_of_twenty_steps_are_the_peers(name, tmp_path):
    (objective,) = HEADS[name]
    model = theirs(tmp_path, (objective,), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    bert = bert_jax.load(tmp_path)
    rows = Rows(labelled(objective, bert.tokenizer), bert.tokenizer, WIDTH, SLOTS, (0, 0))
    stream = LabelledStream(rows, ROWS, {}, ())
    batches = [stream.batch(step) for step in range(STEPS)]
    assert max(batch["example_ids"].max() for batch in batches) > 1  # rows are shared
    losses, norms = ours(bert, batches)
    expected = peers(model, batches, objective)
    assert min(norms) < OPTIMIZER.clip_norm < max(norms)
    assert abs(losses[-1] - losses[0]) > 0.05  # it moves
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE, atol=TOLERANCE)
