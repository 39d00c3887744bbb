"""XLM-R's and CamemBERT's `sentencepiece.bpe.model`: unigram pieces whose ids fairseq shifted."""

import base64
from typing import Any

from google.protobuf.message import DecodeError

# Protobuf makes it at import.
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyrefly: ignore[missing-module-attribute]

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.stated import CAMEMBERT, Stated
from bert_jax.tokenization.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, SPELLINGS, UNK

FAIRSEQ_FILE = "sentencepiece.bpe.model"
FIRST = ("<unk>", "<s>", "</s>")  # the model's own first pieces
SPACE = "▁"
Type = ModelProto.SentencePiece.Type


def fairseq_document(model_proto: bytes, stated: Stated) -> dict[str, Any]:
    """Makes the `tokenizer.json` of such a model, as `XLMRobertaTokenizer` and `CamembertTokenizer` build it.

    XLM-R's ids begin with `<s> <pad> </s> <unk>`, CamemBERT's with five pieces of which it uses two; then come the
    model's own pieces, and `<mask>` is last.

    Raises:
      TokenizerError: it is not such a model.
    """
    model = ModelProto()
    try:
        model.ParseFromString(model_proto)
    except DecodeError:
        raise TokenizerError(f"{FAIRSEQ_FILE} is not a SentencePiece model, or damaged: fetch it again.") from None
    found = tuple(piece.piece for piece in model.pieces[: len(FIRST)])
    if found != FIRST or model.trainer_spec.model_type != model.trainer_spec.UNIGRAM:
        raise TokenizerError(
            f"{FAIRSEQ_FILE} is not a unigram model that begins with {' '.join(FIRST)}, but with"
            f" {quoted(' '.join(found))}: it is not XLM-R's or CamemBERT's."
        )
    names = {token: stated.names.get(token, SPELLINGS[token][1]) for token in SPECIAL_TOKENS}
    if stated.kind == CAMEMBERT:
        head = [("<s>NOTUSED", 0.0), (names[PAD], 0.0), ("</s>NOTUSED", 0.0), (names[UNK], 0.0)]
        head, skipped = [*head, ("<unk>NOTUSED", -100.0)], 1
    else:
        head, skipped = [(names[CLS], 0.0), (names[PAD], 0.0), (names[SEP], 0.0), (names[UNK], 0.0)], len(FIRST)
    own = model.pieces[skipped:]
    pieces = [*head, *((piece.piece, piece.score) for piece in own), (names[MASK], 0.0)]
    special = {*names.values(), *(name for name, _ in head), *(p.piece for p in own if p.type == Type.CONTROL)}
    defined = {piece.piece for piece in own if piece.type == Type.USER_DEFINED} - special
    flags = {"single_word": False, "rstrip": False, "normalized": False}
    added = [
        {"id": i, "content": name, **flags, "lstrip": name == names[MASK], "special": name in special}
        for i, (name, _) in enumerate(pieces)
        if name in special or name in defined
    ]
    # The model's own `<s>` and `</s>`, where the special tokens have other names, are added behind.
    behind = [p.piece for p in model.pieces[:skipped] if p.type == Type.CONTROL and p.piece not in dict(pieces)]
    added += [
        {"id": i, "content": name, **flags, "lstrip": False, "special": True}
        for i, name in enumerate(behind, len(pieces))
    ]
    charsmap = model.normalizer_spec.precompiled_charsmap
    scheme = "always" if stated.options.get("add_prefix_space", True) else "never"
    spaces = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
        if charsmap
        else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces]},
        "post_processor": None,
        "decoder": spaces,
        "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": False, "vocab": [list(pair) for pair in pieces]},
    }
