from bert_jax.files import data_sets


def test_data_sets_may_name_a_folder_and_a_split():
    assert data_sets.split_name("wiki/en") == ("wiki/en", "")
    assert data_sets.split_name("gs://bucket/wiki") == ("gs://bucket/wiki", "")
    assert data_sets.split_name("gs://bucket/wiki:test") == ("gs://bucket/wiki", "test")
    assert data_sets.split_name("imdb:train[:10%]") == ("imdb", "train[:10%]")
