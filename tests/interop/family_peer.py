"""ModernBERT, NomicBERT and EuroBERT of `transformers` on PyTorch: the other side of the families' comparisons.

    python -m tests.interop.family_peer

prints the worst deviations of each family, the table in docs/model.md. Only tests that have checked for both packages
import this.
"""

import pathlib
import tempfile

import numpy as np
import torch
import transformers

from bert_jax.interop.families.registry import family_of
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.parameters import read_parameters
from bert_jax.interop.tensors import Arrays
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.masked_words import MaskedWords
from tests.interop import family_rows, rows
from tests.interop.family_configs import EUROBERT, MODERNBERT, NOMIC_BERT, changed

LENGTHS = [90, 3, 41, 70]  # several blocks of 32 queries, and their ends
CASES = {
    "modernbert": MODERNBERT,
    "modernbert, biases, untied, all windows": changed(
        MODERNBERT,
        num_layers=2,
        attention_bias=True,
        feed_forward_bias=True,
        norm_bias=True,
        head_bias=True,
        output_bias=False,
        tied_output=False,
        global_every=0,
        local_rotary_base=None,
        rotary_scale=2.0,
        activation="gelu_tanh",
        layer_norm_epsilon=1e-6,
    ),
    "modernbert, every second, wide": changed(MODERNBERT, num_layers=2, global_every=2, local_window=128),
    "nomic_bert": NOMIC_BERT,
    "nomic_bert, three types": changed(
        NOMIC_BERT,
        num_token_types=3,
        rotary_base=10_000.0,
        rotary_scale=4.0,
        activation="gelu",
        layer_norm_epsilon=1e-5,
    ),
    "eurobert": EUROBERT,
    "eurobert, biases, tied": changed(
        EUROBERT, num_kv_heads=1, attention_bias=True, feed_forward_bias=True, output_bias=True, tied_output=True
    ),
}


def lengths(case: str) -> list[int]:
    """The lengths of a case's examples, which cross its window."""
    return [150, 3, 70, 131] if "wide" in case else LENGTHS


def loaded(config: ModelConfig, params, attention: str) -> torch.nn.Module:
    """The model of `transformers` that opens our export."""
    with tempfile.TemporaryDirectory() as name:
        write_folder(name, config, params, (MaskedWords(),), {}, max_tokens=512)
        model, report = transformers.AutoModelForMaskedLM.from_pretrained(
            pathlib.Path(name), attn_implementation=attention, output_loading_info=True
        )
    assert not any(report.values()), report
    return model.eval()


def as_ours(tensors: dict[str, torch.Tensor], config: ModelConfig):
    """Tensors, or their gradients, as our tree."""
    arrays = Arrays({name: value.detach().numpy() for name, value in tensors.items()})
    return read_parameters(arrays, config, family_of(config))


def inputs(batch) -> dict[str, torch.Tensor]:
    """What the models take."""
    words = np.full(batch["token_ids"].shape, -100)
    row, slot = np.nonzero(batch["masked_weights"])
    words[row, batch["masked_positions"][row, slot]] = batch["masked_targets"][row, slot]
    found = {"input_ids": batch["token_ids"], "attention_mask": batch["example_ids"], "labels": words}
    if batch["token_type_ids"].any():
        found["token_type_ids"] = batch["token_type_ids"]
    return {name: torch.tensor(value).long() for name, value in found.items()}


def observe(model: torch.nn.Module, config: ModelConfig, padded: family_rows.Rows, rates=rows.RATES) -> dict:
    """The counterpart of `family_rows.observe`, from padded rows."""
    batch = padded.batch
    output = model(**inputs(batch), output_hidden_states=True)
    assert all(torch.isfinite(x).all() for x in (*output.hidden_states, output.logits))  # on padding, too
    model.zero_grad()
    output.loss.backward()
    hidden = [x.detach().numpy()[padded.tokens] for x in output.hidden_states]
    logits = np.take_along_axis(output.logits.detach().numpy(), batch["masked_positions"][..., None], 1)
    return {
        "embeddings": hidden[0],
        "hidden states": hidden[1:],
        "masked-language-model logits": logits[padded.slots],
        "masked-language-model loss": output.loss.item(),
        "gradients": as_ours({name: p.grad for name, p in model.named_parameters()}, config),
        f"parameters after {len(rates)} steps of AdamW": train(model, config, batch, rates),
    }


def train(model: torch.nn.Module, config: ModelConfig, batch, rates):
    """Parameters after a step of AdamW at each rate."""
    settings, named = rows.OPTIMIZER, dict(model.named_parameters())
    free = {name for name in named if name.endswith(".bias") or "norm" in name.lower()}
    groups = [
        {"params": [p for name, p in named.items() if (name in free) == without], "weight_decay": decay}
        for without, decay in ((False, settings.weight_decay), (True, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(settings.b1, settings.b2), eps=settings.epsilon)
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        model(**inputs(batch)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
    return as_ours(dict(model.named_parameters()), config)


def deviations(case: str) -> dict[tuple[str, str], dict[str, float]]:
    """How far apart the two are in each quantity, in units of its largest number.

    Returns:
      The deviations by name, for both implementations of attention there, of padded and of packed rows here.
    """
    config = CASES[case]
    layouts = dict(zip(("padded", "packed"), family_rows.padded_and_packed(config, lengths(case)), strict=True))
    params = family_rows.parameters(config, layouts["padded"])
    ours = dict(zip(layouts, family_rows.observe(config, params, list(layouts.values())), strict=True))
    found = {}
    for attention in ("eager", "sdpa"):
        theirs = observe(loaded(config, params, attention), config, layouts["padded"])
        for layout, here in ours.items():
            found[attention, layout] = {name: rows.deviation(here[name], value) for name, value in theirs.items()}
    return found


def main() -> None:
    """Prints the table of docs/model.md."""
    worst: dict[str, dict[str, float]] = {}
    for case, config in CASES.items():
        title = family_of(config).title
        for found in deviations(case).values():
            for name, value in found.items():
                by_family = worst.setdefault(name, {})
                by_family[title] = max(value, by_family.get(title, 0.0))
    titles = list(next(iter(worst.values())))
    print(f"| quantity | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    for name, by_family in worst.items():
        print(f"| {name} | {' | '.join(f'{by_family[title]:.1e}' for title in titles)} |")


if __name__ == "__main__":
    main()
