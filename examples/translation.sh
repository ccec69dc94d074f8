#!/usr/bin/env bash
# Trains a translator from nothing: a small Marian of 7 M parameters, drawn at random from
# its config.json, learns to translate English to Chinese. With curl and jq.
#
#   examples/translation.sh [en_zh.jsonl]
#
# The rows are {"en": …, "zh": …}; without a file they are the Tatoeba sentences of
# ../shared/data/translation, where that folder is. EPOCHS=30 is for a result worth having,
# about half an hour on two cores; STEPS=40 stops after so many steps, to see that it works.
set -euo pipefail
. "$(dirname "$0")/common.sh"
rows=${1:-../shared/data/translation/tatoeba_en_zh/en_zh.jsonl}
[ -f "$rows" ] || { echo "$rows is missing: name a file of JSON lines with en and zh" >&2; exit 2; }
[ -z "${LORIKEET_URL:-}" ] || { echo "this example serves a base of its own; unset LORIKEET_URL" >&2; exit 2; }

# A vocabulary of the rows, for both languages, and the weights that the configuration asks for.
say "Making a model that knows nothing"
go run ./examples/fresh --config examples/fresh/marian-small.json --rows "$rows" --columns en,zh --vocab 6000 --out "$work/marian"
serve en-zh="$work/marian"

# Rows without a Chinese text of their own would be refused with their line numbers.
say "Uploading the rows"
dataset=$(curl -sS --fail-with-body "$URL/datasets" -F 'columns={"source": "en", "target": "zh"}' -F file=@"$rows")
jq -c '{id, kind, rows, warnings}' <<<"$dataset"

ask() { # MODEL
	for text in "I am hungry." "Where is the station?" "She likes music."; do
		post /generate "$(jq -nc --arg model "$1" --arg text "$text" '{model: $model, prompt: $text, parameters: {max_new_tokens: 24, num_beams: 1}}')" |
			jq -r --arg text "$text" '"  \($text) → \(.text)"'
	done
}
say "Before"
ask en-zh

# From random weights the rate is far above a fine-tune's, and is warmed up. BLEU is of what
# the model writes for 200 of the rows held back, by character as is usual for Chinese.
say "Training all weights"
job=$(post /tune/full "$(jq -nc --arg id "$(jq -r .id <<<"$dataset")" --argjson epochs "${EPOCHS:-30}" --argjson steps "${STEPS:-0}" '{
  model: "en-zh",
  name: "translator",
  dataset: {id: $id},
  validation: {split: 0.02},
  hyperparameters: {epochs: $epochs, max_steps: $steps, batch_size: 64, learning_rate: 1e-3, warmup_ratio: 0.1,
                    schedule: "cosine", dropout: 0.1, max_length: 32, max_target_length: 32},
  evaluate: {metrics: ["bleu", "chrf", "perplexity", "token_accuracy"], generate_rows: 200}
}')")
finish "$job"

say "After"
ask translator
