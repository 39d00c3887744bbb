from bert_jax.corpus.sentences import sentences_of


def test_sentences_end_where_those_of_a_corpus_do():
    assert sentences_of("Dr. Smith left. It\trained!\r\nnext line", "en") == [
        "Dr. Smith left.",
        "It rained!",
        "next line",
    ]
    assert sentences_of("我有猫。它睡了。", "zh") == ["我有猫。", "它睡了。"]
    assert sentences_of(" \n\x00", "en") == []
