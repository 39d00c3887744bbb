import numpy as np

from bert_jax.batch import cut, on_device


def test_a_cut_batch_has_its_rows_in_order_and_empty_ones_after_them():
    batch = {"example_ids": np.arange(1, 11).reshape(5, 2), "weights": np.ones((5, 1, 3), np.float32)}
    parts = cut(batch, 2)
    assert [part["example_ids"].tolist() for part in parts] == [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [0, 0]]]
    assert {(part["weights"].shape, part["weights"].dtype) for part in parts} == {((2, 1, 3), np.dtype(np.float32))}
    assert [part["weights"].sum() for part in parts] == [6, 6, 3]


def test_columns_of_objects_stay_on_the_host():
    batch = {"weights": np.ones((2, 1), np.float32), "texts": np.array([["a"], [None]], object)}
    assert on_device(batch).keys() == {"weights"}
