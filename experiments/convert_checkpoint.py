"""Converts a model: a run, a checkpoint, or a folder of Hugging Face or Google.

python -m experiments.convert_checkpoint --from=runs/articles --to=huggingface:exported --heads=mlm
python -m experiments.convert_checkpoint --from=released --to=bert_jax:models/released
python -m experiments.convert_checkpoint --from=runs/articles --to=bert_jax:models/mean --last=5

--last=5 takes the mean of the parameters of the last 5 checkpoints of a run. What it writes is a model like any other:
`load` opens it, and `train.init_from` starts from it.
"""

from absl import flags

import bert_jax
from bert_jax.errors import ConfigError
from experiments import sentences

FORMATS = ("huggingface", "sentence_transformers", "bert_jax")
_FROM = flags.DEFINE_string("from", None, "A run, a checkpoint, or a folder of Hugging Face or Google.", required=True)
_TO = flags.DEFINE_string("to", None, "huggingface:DIR, sentence_transformers:DIR or bert_jax:DIR.", required=True)
_STEP = flags.DEFINE_integer(
    "step", None, "Which checkpoint of a run; by default the best if it is kept, else the newest."
)
_LAST = flags.DEFINE_integer(
    "last",
    None,
    "Take the mean of the parameters of so many checkpoints of a run, of the last ones or those up to --step.",
)
_MEAN = flags.DEFINE_bool(
    "mean", True, "Of a run with optimizer.mean_decay, take the running mean of its parameters, not those of the step."
)
_POOLING = flags.DEFINE_enum(
    "pooling",
    None,
    ["mean", "max", "cls"],
    "With sentence_transformers: how texts are embedded; by default as the model was trained to, else mean.",
)
_HEADS = flags.DEFINE_list(
    "heads", None, "The heads to write, such as mlm; by default all, as always with bert_jax:DIR."
)


def main(_: list[str]) -> None:
    form, colon, folder = _TO.value.partition(":")
    if not colon or not folder or form not in FORMATS:
        raise ConfigError(f"--to={_TO.value} is not of the form {' or '.join(f'{name}:DIR' for name in FORMATS)}.")
    if form == "bert_jax" and _HEADS.value:
        raise ConfigError("--heads has no effect with --to=bert_jax:DIR, which has all heads: leave it out.")
    model = bert_jax.load(_FROM.value, _STEP.value, last=_LAST.value, mean=_MEAN.value)
    if form == "bert_jax":
        model.save_checkpoint(folder)
    else:
        pooling = (_POOLING.value or model.pooling) if form == "sentence_transformers" else ""
        model.save_huggingface(folder, pooling, _HEADS.value)
    print(
        f"{model!r} is in {folder}" + (f", with no other head than {', '.join(_HEADS.value)}" if _HEADS.value else "")
    )


if __name__ == "__main__":
    sentences.run(main)
