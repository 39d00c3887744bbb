#!/usr/bin/env bash
# A BERT from scratch in 15 minutes on two cores: environment, corpus, pretraining, report.
#   bash launch/local.sh [FLAGS of experiments.pretrain]
# Run it again to resume; a finished run says so. WORKDIR and CORPUS choose other folders, MINUTES another length of
# the whole job.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
corpus="${CORPUS:-corpora/docstrings}"
workdir="${WORKDIR:-runs/quickstart}"
minutes="${MINUTES:-15}"

bash launch/setup.sh
if [ ! -e "$corpus/manifest.json" ]; then
  .venv/bin/python -m experiments.prepare_corpus --source=docstrings --output="$corpus" --vocab_size=4096 --deduplicate=paragraphs
fi
if [ -e "$workdir/config.json" ]; then
  echo "Going on with $workdir, whose length is chosen. For a longer run, give another WORKDIR, or delete this one."
fi
# The time left for training, after two minutes for setup, compilation and the report, and two more in case the machine
# gets slower; a minute at least. It sets the number of steps at the first start only.
left=$((minutes * 60 - SECONDS - 240))
.venv/bin/python -m experiments.pretrain --config=experiments/configs/quickstart.py --workdir="$workdir" \
  --config.data.corpus="$corpus" --config.train.time_budget=$((left > 60 ? left : 60)) "$@"
sed -n '/^## Held-out scores/,/^## Speed/p' "$workdir/report.md" | grep -v -e '^## Speed' -e '^## Curves' -e '^!\[' || true
