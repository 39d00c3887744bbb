"""Sentences of a plain text, by the rules that a corpus is built with."""

import collections


def sentences_of(text: str, language: str) -> list[str]:
    """Splits a text into sentences; none of them crosses a line end.

    Args:
      text: of any length; cleaned as the text of a corpus is.
      language: a two-letter code. For an unknown one, the splitter uses its common rules.
    """
    # Its native splitter is loaded only where a text is split.
    from bert_jax.corpus.builder import text as policy

    counts = collections.Counter[str]()
    lines = policy.paragraphs(policy.clean(text, counts))
    return [sentence for line in lines for sentence in policy.sentences(line, language, counts)]
