"""What a checkpoint costs a run: checksums, the search for numbers that are not finite, and the asynchronous save.

python -m experiments.benchmarks.saving --config=experiments/configs/sizes.py:base --config.data.corpus=DIR

Some steps are timed without a save and with one at their beginning, in turns. The difference is what the save costs:
the time in which the loop waits for it, and that by which it slows the steps beside it. The share is of a run that
saves every `train.checkpoint_every` steps. The first save, which is read back, is not counted.
"""

import json
import statistics
import tempfile
import time
from typing import Any

import jax
from absl import flags
from etils import epath

from bert_jax import sharding
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig
from bert_jax.training.run import prepare
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved
from bert_jax.training.workdir.checksums import checksums
from experiments import config_flags

_STEPS = flags.DEFINE_integer("steps", 10, "Steps of a turn; a save should be complete within them.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of turns of each kind.", lower_bound=1)
_FOLDER = flags.DEFINE_string("folder", None, "Where to save; by default a temporary folder.")


def main(config: PretrainingConfig) -> None:
    config.train.num_steps = config.train.num_steps or 1000
    placed = prepare(Pretraining(), config)
    with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder, jax.set_mesh(placed.mesh), sharding.rules():
        program, batch = placed.program(config.train.length), placed.work(0).batch
        checkpoints = Checkpoints(epath.Path(folder) / "checkpoints", Preserved(1), {})
        state, step = program.make_state({}), 0

        def turn(saves: bool) -> dict[str, float]:
            nonlocal state, step
            began = time.perf_counter()
            found = {}
            if saves:
                sums = checksums(state)
                found["checksum_seconds"] = time.perf_counter() - began
                checkpoints.save(step, state, sums)
                found["waiting_seconds"] = time.perf_counter() - began
            metrics: Any = None
            for _ in range(_STEPS.value):
                state, metrics = program.train_step(state, batch)
                step += 1
            jax.block_until_ready(metrics)
            checkpoints.wait()
            return found | {"seconds": time.perf_counter() - began}

        turn(saves=True)  # compiles, and reads back what it saved
        rows = []
        for repeat in range(_REPEATS.value):
            without, with_save = turn(saves=False), turn(saves=True)
            per_step = without["seconds"] / _STEPS.value
            cost = with_save.pop("seconds") - without["seconds"]
            row = {"repeat": repeat, "step_seconds": per_step, "save_costs_seconds": cost} | with_save
            row["share"] = cost / (cost + config.train.checkpoint_every * per_step)
            rows.append(row)
            print(json.dumps({"benchmark": "saving"} | {k: round(v, 4) for k, v in row.items()}), flush=True)
        checkpoints.close()
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(state)]
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0] if name != "repeat"}
    print(
        f"A checkpoint of {sum(sizes) / 1e6:,.0f} MB costs {medians['save_costs_seconds']:.2f} s, or"
        f" {medians['save_costs_seconds'] / medians['step_seconds']:.2f} steps:"
        f" {100 * medians['share']:.2f} % of the time at one every {config.train.checkpoint_every:,} steps."
        f" The checksums take {medians['checksum_seconds']:.2f} s, and the loop waits"
        f" {medians['waiting_seconds']:.2f} s in all."
    )


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
