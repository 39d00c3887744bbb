"""`experiments.pretrain`, writing down which rows it is asked for, which it makes, and dying when told to.

SPY_FILE: one JSON line a training batch. SPY_DIES_AT: the step (from 0) whose batch kills the process.
"""

import json
import os
import runpy
import signal
import sys
import zlib

from bert_jax.data.phases import PhasedBatches
from bert_jax.data.rows import SourceRows

planned = 0
take, batch = SourceRows.take, PhasedBatches.batch


def counted_take(self, index):
    global planned
    planned += len(index)
    return take(self, index)


def noted_batch(self, step, begin=0, end=None):
    global planned
    if str(step) == os.environ.get("SPY_DIES_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    planned = 0
    made = batch(self, step, begin, end)
    rows = {begin + i: zlib.crc32(row.tobytes()) for i, row in enumerate(made["token_ids"])}
    with open(os.environ["SPY_FILE"], "a") as file:
        file.write(json.dumps({"step": step, "planned": planned, "rows": rows}) + "\n")
    return made


SourceRows.take, PhasedBatches.batch = counted_take, noted_batch
sys.argv[0] = "experiments.pretrain"
runpy.run_module("experiments.pretrain", run_name="__main__")
