"""Our BERT against Hugging Face's on PyTorch, an implementation written by others; `test_golden` holds without them.

Each quantity may deviate by 1e-5 of its largest number: float32 products in another order.
"""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

from bert_jax.interop.families.registry import BERT  # noqa: E402
from bert_jax.interop.hugging_face_config import read_config, write_config  # noqa: E402
from bert_jax.model.bert import Bert  # noqa: E402
from bert_jax.model.config import ModelConfig  # noqa: E402
from bert_jax.model.intermediates import with_intermediates  # noqa: E402
from tests.interop import peer, rows  # noqa: E402
from tests.interop.state_dicts import from_state_dict, to_state_dict  # noqa: E402
from tests.model import composites  # noqa: E402

TOLERANCE = 1e-5


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("case", peer.CASES)
def test_outputs_gradients_and_training_agree(case, attention):
    found = peer.deviations(case, attention)
    assert len(found) == (11 if attention == "eager" else 10)
    assert not {name: value for name, value in found.items() if not value <= TOLERANCE}


@pytest.mark.parametrize("case", peer.CASES)
def test_a_state_dict_survives_both_ways(case):
    config = peer.CASES[case]
    model = peer.reference(transformers.BertForPreTraining, config, "eager")
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    back = to_state_dict(from_state_dict(tensors, config), config)
    assert back.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(back[name], value, err_msg=name)


def test_configs_survive_both_ways():
    released = transformers.BertConfig()
    config = read_config(released.to_dict()).model
    assert config == ModelConfig(vocab_size=30_522, intermediate_size=3072)
    for case in (config, *peer.CASES.values()):
        there = transformers.BertConfig(**write_config(case)).to_dict()
        explicit = dataclasses.replace(case, intermediate_size=case.feed_forward_size)
        assert read_config(there).model == explicit


def head_case(kind, parts, classifier="label", **settings):
    """A model of another kind, our reading of it, and rows."""
    config = peer.CASES["tanh"]
    model = peer.reference(kind, config, "eager", initializer_range=0.2, **settings)
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    batch = rows.padded_batch(config, [24, 5, 9, 17], 24, 5)
    params = from_state_dict(tensors, config, parts, classifier)
    back = to_state_dict(params, config)
    assert back.keys() == tensors.keys()
    return model, config, params, batch


def close(found, expected):
    assert rows.deviation(found, expected.detach().numpy()) <= TOLERANCE


def test_sequence_classification_agrees():
    kind = transformers.BertForSequenceClassification
    model, config, params, batch = head_case(kind, ("pooler", "label"), num_labels=3)
    logits = composites.sequence(config, 3).apply({"params": params}, batch)["label"]
    close(logits[:, 0], model(**peer.inputs(batch)).logits)


def test_token_classification_agrees():
    kind = transformers.BertForTokenClassification
    model, config, params, batch = head_case(kind, ("label",), num_labels=7)
    logits = composites.tokens(config, 7).apply({"params": params}, batch)["label"]
    real = batch["example_ids"] > 0
    close(logits[real], model(**peer.inputs(batch)).logits[torch.tensor(real)])


def test_spans_agree():
    model, config, params, batch = head_case(transformers.BertForQuestionAnswering, ("span",))
    output = composites.spans(config).apply({"params": params}, batch)["span"]
    expected, real = model(**peer.inputs(batch)), batch["example_ids"] > 0
    close(output.start[:, 0][real], expected.start_logits[torch.tensor(real)])
    close(output.end[:, 0][real], expected.end_logits[torch.tensor(real)])


def test_multiple_choice_agrees():
    kind = transformers.BertForMultipleChoice
    model, config, params, batch = head_case(kind, ("pooler", "choice"), "choice")
    scores = composites.choices(config).apply({"params": params}, batch)["choice"]
    questions = {name: value.reshape(2, 2, -1) for name, value in peer.inputs(batch).items()}
    close(scores.reshape(2, 2), model(**questions).logits)


def test_pre_norm_agrees_with_megatron():
    """Encoder and final norm; Megatron's embeddings have no norm, so both sides start from ours."""
    config = dataclasses.replace(peer.CASES["three token types"], norm_position="pre")
    batch = rows.padded_batch(config, [24, 5, 9, 17], 24, 5)
    params = rows.random_params(Bert(config), batch)
    with jax.default_matmul_precision("highest"):
        (hidden, _), inside = with_intermediates(Bert(config), params, batch)
    values = write_config(dataclasses.replace(config, norm_position="post")) | {"model_type": "megatron-bert"}
    model = transformers.MegatronBertModel(transformers.MegatronBertConfig(**values)).eval()
    norms = {"attention.output.LayerNorm": "attention.ln", "output.LayerNorm": "ln"}
    final = params["encoder"]["final_norm"]
    tensors = {"ln.weight": final["scale"], "ln.bias": final["bias"]}
    flat = flax.traverse_util.flatten_dict({"bert": params}, sep="/")
    for entry in BERT.table(config)["encoder"]:
        for name, value in zip(entry.theirs, entry.split([flat[name] for name in entry.ours]), strict=True):
            name = name.removeprefix("bert.encoder.")
            for theirs, megatrons in norms.items():
                name = name.replace(theirs, megatrons)
            tensors[name] = value
    model.encoder.load_state_dict({name: torch.tensor(np.array(value)) for name, value in tensors.items()}, strict=True)
    mask = torch.tensor(np.where(batch["example_ids"] > 0, 0.0, -1e30)[:, None, None].astype(np.float32))
    expected = model.encoder(torch.tensor(np.array(inside.hidden_states[0])), mask, return_dict=True)
    real = batch["example_ids"] > 0
    close(hidden[real], expected.last_hidden_state[torch.tensor(real)])
