"""Names of tokens that people can read, and the tokens that have them."""

from collections.abc import Sequence

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization import Tokenizer


def readable(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Returns a name for each token: its letters, after `##` if it goes on a word, whatever the vocabulary's own signs.

    A token without letters of its own, such as one byte of a character, is named as in the vocabulary.
    """
    names = []
    for i in ids:
        piece, text = tokenizer.vocabulary[i], tokenizer.decode([i]).strip()
        if i in tokenizer.special_ids or not text or "\ufffd" in text:
            names.append(piece)
        elif tokenizer.word_starts[i] or text.startswith("##"):
            names.append(text)
        else:
            names.append(f"##{text}")
    return names


def word_id(tokenizer: Tokenizer, word: str) -> int:
    """Returns the id of a word that is one token, or of a token by the name that people see, such as `##s`.

    Names are those of `readable`, of `Pretrained.fill_mask`, and of the vocabulary. A whole word comes first.

    Raises:
      TokenizerError: it is none, or several.
    """
    ids = tokenizer.encode(f" {word}")
    if len(ids) == 1 and ids[0] != tokenizer.unk_id:
        return ids[0]
    for i in tokenizer.ordinary_ids.tolist() if word else ():
        if word in (tokenizer.vocabulary[i], tokenizer.decode([i]).strip(), *readable(tokenizer, [i])):
            return i
    said = " ".join(readable(tokenizer, ids)) or "nothing"
    raise TokenizerError(f"{quoted(word)} is not one token of the vocabulary, but {said}: give a word that is.")
