"""A few faults of each kind; `bash launch/test.sh --survival` injects many.

Deaths of one of several processes, changes of the mesh and failures of a bucket take longer: `test_processes.py`,
`test_meshes.py`, `test_reading.py` and `test_buckets.py` have one each.
"""

import time

import pytest

from tests.survival.kinds import KINDS
from tests.survival.outcomes import LOST, RESTORED, TOLD, Ledger, Outcome, table
from tests.survival.place import Place, judge

FEW = {
    **{"runs": 2, "builds": 2, "signals": 1},
    **{"files": 1, "bits": 3, "abouts": 2, "workdirs": 2},
    **{"corpora": 4, "manifests": 4, "tokenizers": 4, "disks": 1},
}
ELSEWHERE = {"buckets", "meshes", "peers"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("survival")) as opened:
        yield opened


@pytest.mark.parametrize("kind", FEW)
def test_a_few_faults_are_survived(kind, place):
    seed = time.time_ns() % 10**6
    print(f"--kinds={kind} --seed={seed}")  # shown where the test fails
    found = list(KINDS[kind].inject(place, FEW[kind], seed))
    assert len(found) >= FEW[kind]
    assert not [one.how for one in found if one.verdict == LOST]


def test_every_kind_is_tried():
    assert KINDS.keys() == FEW.keys() | ELSEWHERE


def test_only_sentences_and_equal_results_survive():
    assert judge(0, "", lambda: True)[0] == RESTORED
    assert judge(74, "error: the disk is full.", lambda: False)[0] == TOLD
    lost = [
        (0, "", lambda: False),
        (0, "", lambda: {}["rows"]),
        (1, "", lambda: True),
        (2, "no sentence", lambda: True),
        (-11, "", lambda: True),  # a crash of the interpreter
        (-14, "", lambda: True),  # a hang
        (0, "Traceback (most recent call last):\n", lambda: True),
    ]
    assert {judge(*one)[0] for one in lost} == {LOST}


def test_outcomes_of_several_calls_are_summed(tmp_path):
    for verdict in (RESTORED, RESTORED, TOLD, LOST):
        Ledger(tmp_path / "results").add(Outcome("a bit flips", verdict, "seed 1"))
    ledger = Ledger(tmp_path / "results")
    assert [one.verdict for one in ledger.lost] == [LOST]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(ledger.outcomes).splitlines()[2:]] == [
        ["a bit flips", "4", "2", "1", "1"],
        ["all", "4", "2", "1", "1"],
    ]
