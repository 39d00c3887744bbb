"""The model card that an exported model carries: what it is, what it learned from, how to use it."""

from collections.abc import Sequence
from typing import Any

from bert_jax.interop.hugging_face import architecture
from bert_jax.markdown import table
from bert_jax.objectives.objective import Objective


def model_card(model: Any, objectives: Sequence[Objective], sentence_pooling: str) -> str:
    """Returns the card, in Markdown.

    Args:
      model: a `pretrained.Pretrained`.
      objectives: those whose heads are written.
      sentence_pooling: how the folder is to embed texts; empty if it is not for sentence-transformers.

    Raises:
      ConfigError: Hugging Face has no class with this body and these heads.
    """
    config = model.config
    facts = [
        ["layers", f"{config.num_layers}"],
        ["width", f"{config.hidden_size}"],
        ["attention heads", f"{config.num_heads}"],
        ["positions", f"{config.max_positions:,}, learned" if config.positions == "learned" else config.positions],
        ["vocabulary", f"{model.tokenizer.vocab_size:,} pieces"],
        ["longest input", f"{model.max_tokens:,} tokens"],
    ]
    if model.task:
        facts.append(["task", model.task])
    if model.step is not None:
        facts.append(["training", f"{model.step:,} steps"])
    if objectives:
        facts.append(["heads", "; ".join(one.title for one in objectives)])
    library = "sentence-transformers" if sentence_pooling else "transformers"
    kind = architecture(config, objectives)
    use = "AutoModel" + kind[kind.find("For") :] if "For" in kind else "AutoModel"
    if sentence_pooling:
        code = ["from sentence_transformers import SentenceTransformer", "", "model = SentenceTransformer(FOLDER)"]
    else:
        code = [f"from transformers import AutoTokenizer, {use}", ""]
        code += ["tokenizer = AutoTokenizer.from_pretrained(FOLDER)", f"model = {use}.from_pretrained(FOLDER)"]
    return "\n".join(
        [
            "---",
            f"library_name: {library}",
            "tags: [bert, bert_jax]",
            "---",
            "",
            "# A BERT encoder trained with bert_jax" if model.task else "# A BERT encoder, written by bert_jax",
            "",
            *table(["", ""], facts),
            "```python",
            *code,
            "```",
            "",
            "Special tokens that are typed in a text, such as `[MASK]`, are special to `transformers`, while `bert_jax`"
            " takes them for plain characters.",
            "",
        ]
    )
