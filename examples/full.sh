#!/usr/bin/env bash
# Way 1 of 3: a full fine-tune. Every weight of BERT learns to tell good reviews of films
# from bad ones, on a few hundred rows of IMDB and for one epoch. With curl and jq.
#
#   examples/full.sh
#
# The base (440 MB) and the rows (42 MB) come from the Hugging Face Hub, once. Without
# network: examples/offline.sh examples/full.sh. common.sh says what else may be set.
set -euo pipefail
. "$(dirname "$0")/common.sh"
serve bert=hf:google-bert/bert-base-uncased

say "Before: a bare encoder scores nothing"
curl -sS "$URL/predict" -H 'Content-Type: application/json' -d '{"model": "bert", "inputs": "A wonderful, moving film."}' | jq -c '{status, code, detail}'

# The files of IMDB are sorted by label: "sample" draws rows from all of a split, always the same.
say "Tuning all weights on 400 rows, one epoch"
job=$(post /tune/full '{
  "model": "bert",
  "name": "imdb-full",
  "dataset":    {"hf": "stanfordnlp/imdb", "split": "train", "sample": 400, "shuffle_seed": 42},
  "validation": {"hf": "stanfordnlp/imdb", "split": "test",  "sample": 120, "shuffle_seed": 42},
  "hyperparameters": {"epochs": 1, "batch_size": 8, "learning_rate": 5e-5, "max_length": 128}
}')
finish "$job"

# The result is a model of its own, asked by its name.
say "After: the tuned model"
post /predict '{
  "model": "imdb-full",
  "inputs": ["A wonderful, moving film.", "Dull, far too long and badly acted."]
}' | jq -r '.results[] | "  \(.label) \(.score)"'
