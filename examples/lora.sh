#!/usr/bin/env bash
# Way 2 of 3: LoRA. BERT stays as it is; an adapter of rank 8 beside its queries and
# values, and a classification head, learn the same as in full.sh. With curl and jq.
#
#   examples/lora.sh
#
# The base (440 MB) and the rows (42 MB) come from the Hugging Face Hub, once. Without
# network: examples/offline.sh examples/lora.sh. common.sh says what else may be set.
set -euo pipefail
. "$(dirname "$0")/common.sh"
serve bert=hf:google-bert/bert-base-uncased

# The names are those of PEFT's LoraConfig. ?dry_run=true says what a job would do.
request='{
  "model": "bert",
  "name": "imdb-lora",
  "dataset":    {"hf": "stanfordnlp/imdb", "split": "train", "sample": 400, "shuffle_seed": 42},
  "validation": {"hf": "stanfordnlp/imdb", "split": "test",  "sample": 120, "shuffle_seed": 42},
  "lora": {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["query", "value"]},
  "hyperparameters": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "max_length": 128}
}'
say "The plan"
post '/tune/lora?dry_run=true' "$request" | jq -c 'del(.warnings)'

say "Tuning an adapter on 400 rows, one epoch"
job=$(post /tune/lora "$request")
finish "$job"

# One base serves any number of adapters: each request names the one it wants.
say "After: the same base with the adapter"
post /predict '{
  "model": "bert",
  "adapter": "imdb-lora",
  "inputs": ["A wonderful, moving film.", "Dull, far too long and badly acted."]
}' | jq -r '.results[] | "  \(.label) \(.score)"'

say "The adapter as PEFT reads it: $URL/adapters/imdb-lora/versions/1/files/adapter_config.json"
curl -sS --fail-with-body "$URL/adapters/imdb-lora/versions/1/files/adapter_config.json" | jq -c '{peft_type, task_type, r, lora_alpha, target_modules, modules_to_save}'
