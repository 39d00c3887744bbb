from tests.corpus.builder import damaged_files


def test_damaged_files_of_every_format_are_read_or_refused():
    """`python -m tests.corpus.builder.damaged_files 2000` tries more of them."""
    results = damaged_files.run(60, first_seed=0)
    assert results.total() == 60
    assert sum(count for result, count in results.items() if "refused" in result) > 20
