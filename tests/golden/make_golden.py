"""Writes `bert.npz`, what Hugging Face's BERT on PyTorch makes of two rows, for `tests/interop/test_golden.py`.

    pip install torch transformers
    python -m tests.golden.make_golden

The file was written with torch 2.13.0 and transformers 5.23.0 on a CPU. Write it again only when this script changes;
never because a test of ours fails.
"""

import json
import pathlib

import numpy as np

from bert_jax.interop.hugging_face_config import write_config
from bert_jax.model.config import ModelConfig
from tests.interop.state_dicts import to_state_dict
from tests.model.composites import pretraining

CONFIG = ModelConfig(
    vocab_size=23, num_layers=2, hidden_size=8, num_heads=2, intermediate_size=12, max_positions=9, activation="gelu"
)
FILE = pathlib.Path(__file__).parent / "bert.npz"
LENGTHS, SEQUENCE_LENGTH, PREDICTIONS = [9, 5], 9, 2
# Gradients and moved parameters kept whole; of the other gradients the norm.
SELECTED = (
    "bert.embeddings.word_embeddings.weight",
    "bert.encoder.layer.0.attention.self.query.weight",
    "bert.encoder.layer.1.output.LayerNorm.weight",
    "cls.seq_relationship.bias",
)


def main() -> None:
    """Writes the file."""
    from tests.interop import peer, rows  # the only import that needs PyTorch

    batch = rows.padded_batch(CONFIG, LENGTHS, SEQUENCE_LENGTH, PREDICTIONS)
    params = rows.random_params(pretraining(CONFIG), batch)
    model = peer.loaded(CONFIG, params, "eager")
    found = peer.observe(model, CONFIG, batch)
    gradients = to_state_dict(found.pop("gradients"), CONFIG)
    moved = to_state_dict(peer.train(model, CONFIG, batch, rows.RATES[:1]), CONFIG)
    arrays = {f"batch/{name}": value for name, value in batch.items()}
    arrays |= {f"tensor/{name}": value for name, value in to_state_dict(params, CONFIG).items()}
    arrays |= {f"output/{name}": np.array(value, np.float32) for name, value in found.items()}
    arrays |= {f"gradient/{name}": gradients[name] for name in SELECTED}
    arrays |= {f"moved/{name}": moved[name] for name in SELECTED}
    arrays["gradient_norms"] = np.array([np.linalg.norm(gradients[name]) for name in sorted(gradients)], np.float32)
    arrays["config"] = np.frombuffer(json.dumps(write_config(CONFIG)).encode(), np.uint8)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {FILE.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
