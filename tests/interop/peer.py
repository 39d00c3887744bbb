"""The same quantities from Hugging Face `transformers` on PyTorch: the other side of each comparison.

    python -m tests.interop.peer

prints the worst deviations over all cases, the table in docs/model.md. Only tests that have checked for both packages
import this.
"""

import numpy as np
import torch
import transformers

from bert_jax.interop.hugging_face_config import write_config
from bert_jax.model.bert import Bert
from bert_jax.model.config import ModelConfig
from tests.interop import rows
from tests.interop.state_dicts import from_state_dict, to_state_dict
from tests.model.composites import pretraining

CASES = {
    "one head": ModelConfig(vocab_size=50, num_layers=1, hidden_size=32, num_heads=1, max_positions=24),
    "tanh": ModelConfig(
        vocab_size=101,
        num_layers=2,
        hidden_size=48,
        num_heads=4,
        max_positions=40,
        activation="gelu_tanh",
        layer_norm_epsilon=1e-5,
    ),
    "three token types": ModelConfig(
        vocab_size=77,
        num_layers=3,
        hidden_size=64,
        num_heads=8,
        intermediate_size=96,
        max_positions=32,
        num_token_types=3,
        layer_norm_epsilon=1e-7,
    ),
    "deep": ModelConfig(
        vocab_size=120, num_layers=6, hidden_size=40, num_heads=5, max_positions=32, activation="gelu_tanh"
    ),
}
LENGTHS, SEQUENCE_LENGTH, PREDICTIONS = [24, 3, 11, 17, 20], 24, 5


def setting(case: str):
    """A case's config, batch and parameters."""
    config = CASES[case]
    batch = rows.padded_batch(config, LENGTHS, SEQUENCE_LENGTH, PREDICTIONS)
    return config, batch, rows.random_params(pretraining(config), batch)


def reference(kind: type, config: ModelConfig, attention: str, **settings) -> torch.nn.Module:
    """A `transformers` model of a config, in evaluation, randomly initialised."""
    values = write_config(config) | settings
    torch.manual_seed(0)
    return kind(transformers.BertConfig(**values, attn_implementation=attention)).eval()


def loaded(config: ModelConfig, params, attention: str) -> torch.nn.Module:
    """`BertForPreTraining` with our parameters."""
    model = reference(transformers.BertForPreTraining, config, attention)
    tensors = {name: torch.tensor(value) for name, value in to_state_dict(params, config).items()}
    model.load_state_dict(tensors, strict=True)
    return model


def inputs(batch) -> dict[str, torch.Tensor]:
    """What `transformers` models take."""
    return {
        "input_ids": torch.tensor(batch["token_ids"]).long(),
        "token_type_ids": torch.tensor(batch["token_type_ids"]).long(),
        "attention_mask": torch.tensor(batch["example_ids"]).long(),
    }


def labels(batch) -> dict[str, torch.Tensor]:
    """The targets in the form of `BertForPreTraining`: −100 where nothing is predicted."""
    words = np.full(batch["token_ids"].shape, -100)
    row, slot = np.nonzero(batch["masked_weights"])
    words[row, batch["masked_positions"][row, slot]] = batch["masked_targets"][row, slot]
    return {"labels": torch.tensor(words), "next_sentence_label": torch.tensor(batch["nsp_labels"][:, 0]).long()}


def observe(model: torch.nn.Module, config: ModelConfig, batch) -> dict:
    """The counterpart of `rows.observe`; attention maps from the eager implementation only."""
    targets = labels(batch)
    eager = model.config._attn_implementation == "eager"
    output = model(**inputs(batch), **targets, output_hidden_states=True, output_attentions=eager)
    model.zero_grad()
    output.loss.backward()
    real, used = batch["example_ids"] > 0, batch["masked_weights"] > 0
    hidden = [x.detach().numpy() for x in output.hidden_states]
    logits = output.prediction_logits.detach().numpy()
    losses = torch.nn.functional.cross_entropy
    found = {
        "embeddings": hidden[0][real],
        "hidden states": [x[real] for x in hidden[1:]],
        "masked-language-model logits": np.take_along_axis(logits, batch["masked_positions"][..., None], 1)[used],
        "next-sentence logits": output.seq_relationship_logits.detach().numpy(),
        "masked-language-model loss": losses(output.prediction_logits.transpose(1, 2), targets["labels"]).item(),
        "next-sentence loss": losses(output.seq_relationship_logits, targets["next_sentence_label"]).item(),
        "total loss": output.loss.item(),
        "gradients": as_ours({name: p.grad for name, p in model.named_parameters()}, config),
    }
    if eager:
        found["attention maps"] = [x.detach().numpy().transpose(0, 2, 1, 3)[real] for x in output.attentions]
    return found


def as_ours(tensors: dict[str, torch.Tensor], config: ModelConfig):
    """Tensors, or their gradients, as our tree: queries', keys' and values' arrays are measured as the one they are
    (a key's bias changes nothing, so its gradient alone would be noise over noise)."""
    return from_state_dict({name: value.detach().numpy() for name, value in tensors.items()}, config)


def train(model: torch.nn.Module, config: ModelConfig, batch, rates=rows.RATES):
    """The counterpart of `rows.train`."""
    settings = rows.OPTIMIZER
    named = dict(model.named_parameters())
    free = {name for name in named if name.endswith(".bias") or "LayerNorm" in name}
    groups = [
        {"params": [p for name, p in named.items() if name not in free], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named.items() if name in free], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(settings.b1, settings.b2), eps=settings.epsilon)
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        model(**inputs(batch), **labels(batch)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
    return as_ours(model.state_dict(), config)


def deviations(case: str, attention: str) -> dict[str, float]:
    """How far apart the two are in each quantity, in units of its largest number."""
    config, batch, params = setting(case)
    model = loaded(config, params, attention)
    ours, theirs = rows.observe(config, params, batch), observe(model, config, batch)
    found = {name: rows.deviation(ours[name], value) for name, value in theirs.items()}
    pooled = Bert(config).apply({"params": params["bert"]}, batch)[1][:, 0]
    found["pooled output"] = rows.deviation(pooled, model.bert(**inputs(batch)).pooler_output.detach().numpy())
    moved = rows.deviation(rows.train(config, params, batch), train(model, config, batch))
    return found | {f"parameters after {len(rows.RATES)} steps of AdamW": moved}


def main() -> None:
    """Prints the table of docs/model.md."""
    worst: dict[str, float] = {}
    for case in CASES:
        for attention in ("eager", "sdpa"):
            for name, value in deviations(case, attention).items():
                worst[name] = max(value, worst.get(name, 0.0))
    print("| quantity | worst deviation |\n|---|---|")
    for name, value in worst.items():
        print(f"| {name} | {value:.1e} |")


if __name__ == "__main__":
    main()
