"""Scores of retrieval: where the documents that belong to a query stand among all documents, by cosine.

Documents of equal similarity stand in random order, and a score is its mean over all such orders, as in
`sklearn.metrics.ndcg_score`. So the order of a file decides nothing, and a model that says the same of all documents
scores like a random order.
"""

import numpy as np

DEPTH = 10  # of nDCG
RECALL_AT = (1, 10)
# Cosines that differ by less are equal: vectors are float32, and equal ones must tie whatever the order of summation.
DECIMALS = 6
QUERIES_AT_ONCE = 256


def retrieval_scores(
    queries: np.ndarray, documents: np.ndarray, relevant: np.ndarray, left_out: np.ndarray | None = None
) -> dict[str, float]:
    """Computes the means over all queries of nDCG@10, recall@1, recall@10 and the reciprocal rank.

    The reciprocal rank is that of a query's first relevant document, at any depth.

    Args:
      queries: float [Q, H], of length 1.
      documents: float [D, H], of length 1.
      relevant: int [R, 2], query and document; each query has one or more, each pair is there once.
      left_out: int [X, 2], documents that do not count for a query, such as the query itself; none of them relevant.

    Returns:
      The scores by name: `ndcg_10`, `recall_1`, `recall_10`, `mrr`; empty without queries.
    """
    if not len(queries):
        return {}
    relevant = relevant[np.argsort(relevant[:, 0], kind="stable")]
    left_out = np.zeros((0, 2), np.int64) if left_out is None else left_out
    documents = documents.astype(np.float64)
    better, equal = (np.empty(len(relevant), np.int64) for _ in range(2))
    for begin in range(0, len(queries), QUERIES_AT_ONCE):
        some = queries[begin : begin + QUERIES_AT_ONCE].astype(np.float64)
        similarity = np.round(some @ documents.T, DECIMALS)
        gone = left_out[(left_out[:, 0] >= begin) & (left_out[:, 0] < begin + len(some))]
        similarity[gone[:, 0] - begin, gone[:, 1]] = -np.inf
        inside = slice(*np.searchsorted(relevant[:, 0], (begin, begin + len(some))))
        for place, (query, document) in enumerate(relevant[inside] - (begin, 0), inside.start):
            mine = similarity[query, document]
            better[place], equal[place] = (similarity[query] > mine).sum(), (similarity[query] == mine).sum()
    return _means(relevant[:, 0], better, equal)


def random_order_scores(num_documents: int, relevant: np.ndarray) -> dict[str, float]:
    """Computes the same scores of documents in random order, without similarities."""
    if not len(relevant):
        return {}
    query = np.sort(relevant[:, 0])
    return _means(query, np.zeros(len(query), np.int64), np.full(len(query), num_documents))


def _means(query: np.ndarray, better: np.ndarray, equal: np.ndarray) -> dict[str, float]:
    """The mean scores, given for each relevant document how many are more similar, and how many equally, with itself.

    `query` int [R] is ascending.
    """
    _, starts, counts = np.unique(query, return_index=True, return_counts=True)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))])  # of the first 0 … 10 places

    def expected(first: np.ndarray) -> np.ndarray:
        """The mean of a document's gain over the places that it may have, given the gain of the first n places."""
        depth = len(first) - 1
        return (first[np.minimum(better + equal, depth)] - first[np.minimum(better, depth)]) / equal

    gains = np.add.reduceat(expected(discounts), starts)
    scores = {f"ndcg_{DEPTH}": gains / discounts[np.minimum(counts, DEPTH)]}
    for depth in RECALL_AT:
        scores[f"recall_{depth}"] = np.add.reduceat(expected(np.arange(depth + 1.0)), starts) / counts
    firsts = np.minimum.reduceat(better, starts)
    tied = np.add.reduceat((better == np.repeat(firsts, counts)).astype(np.int64), starts)
    sizes = np.minimum.reduceat(np.where(better == np.repeat(firsts, counts), equal, np.iinfo(np.int64).max), starts)
    scores["mrr"] = np.array([_reciprocal(*one) for one in zip(firsts, sizes, tied, strict=True)])
    return {name: float(values.mean()) for name, values in scores.items()}


def _reciprocal(better: int, equal: int, relevant: int) -> float:
    """The mean of 1 / rank of the first of some relevant documents, which stand among `equal` ones in random order."""
    place = np.arange(equal - relevant + 1)
    # The first one has place j + 1 if it is not in the j places before.
    passed = np.concatenate([[1.0], np.cumprod((equal - relevant - place[:-1]) / (equal - place[:-1]))])
    return float((passed * relevant / (equal - place) / (better + 1 + place)).sum())
