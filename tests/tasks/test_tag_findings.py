from bert_jax.tasks.tag_findings import tag_findings


def findings(*sentences):
    rows = []
    for words, gold, said in sentences:
        gold, said = gold.split(), said.split()
        rows.append({"words": words.split(), "gold": gold, "predicted": said, "probabilities": [0.5] * len(gold)})
    return "\n".join(tag_findings(rows))


def test_entities_by_type_confusions_and_worst_sentences():
    found = findings(
        ("Anna saw New York", "B-PER O B-LOC I-LOC", "B-PER O B-PER I-PER"),
        ("Bonn | Anna", "B-LOC O B-PER", "B-LOC O B-PER"),
        ("so", "O", "B-LOC"),
    )
    assert "| PER | 0.667 | 1.000 | 0.800 | 2 | 3 |" in found
    assert "| LOC | 0.500 | 0.500 | 0.500 | 2 | 2 |" in found
    assert "| LOC | PER | 2 |" in found
    assert "| O | LOC | 1 |" in found
    assert "2 of 3 sentences have a wrong tag." in found
    assert "| 2 | Anna saw New York | New/B-LOC York/I-LOC | New/B-PER York/I-PER |" in found


def test_a_wrong_border_is_no_confusion_of_types():
    found = findings(("New York", "B-LOC I-LOC", "B-LOC B-LOC"))
    assert "confusions" not in found
    assert "| LOC | 0.000 | 0.000 | 0.000 | 1 | 2 |" in found


def test_constant_predictions_are_said():
    found = findings(("Anna", "B-PER", "O"), ("so", "O", "O"))
    assert found.startswith("**Only one tag is ever predicted: O.**")
    assert "| PER | undefined | 0.000 | 0.000 | 1 | 0 |" in found


def test_a_type_that_is_only_predicted_has_a_row():
    assert "| LOC | 0.000 | undefined | 0.000 | 0 | 1 |" in findings(("a b", "B-PER O", "B-PER B-LOC"))


def test_bare_tags_are_scored_one_by_one():
    found = findings(("a cat sat", "DET NOUN VERB", "DET NOUN NOUN"))
    assert "| NOUN | 0.500 | 1.000 | 0.667 | 1 | 2 |" in found
    assert "| VERB | undefined | 0.000 | 0.000 | 1 | 0 |" in found
    assert "| VERB | NOUN | 1 |" in found


def test_types_are_missing_and_nothing_is_wrong():
    found = findings(("a b", "B I", "B I"))
    assert "| (none) | 1.000 | 1.000 | 1.000 | 1 | 1 |" in found
    assert "0 of 1 sentences have a wrong tag." in found
    assert findings() == ""


def test_long_sentences_are_shown_from_before_the_first_fault():
    words = " ".join(f"w{i}" for i in range(100))
    gold = ["O"] * 100
    said = [*gold]
    said[50] = "B-PER"
    found = findings((words, " ".join(gold), " ".join(said)))
    assert "… w48 w49 w50 w51" in found
    assert "w78" not in found
    assert "| w50/O | w50/B-PER |" in found
