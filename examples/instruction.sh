#!/usr/bin/env bash
# Way 3 of 3: instruction tuning. An adapter teaches Flan-T5 to follow a handful of
# instructions: rows of instruction, input and output, in the request itself. With curl
# and jq.
#
#   examples/instruction.sh
#
# The base (308 MB) comes from the Hugging Face Hub, once. Without network:
# examples/offline.sh examples/instruction.sh. common.sh says what else may be set.
set -euo pipefail
. "$(dirname "$0")/common.sh"
serve t5=hf:google/flan-t5-small

rows='[
  {"instruction": "Classify the sentiment of the review.", "input": "The film was a delight from start to end.", "output": "positive"},
  {"instruction": "Classify the sentiment of the review.", "input": "I want these two hours back.",               "output": "negative"},
  {"instruction": "Classify the sentiment of the review.", "input": "Great acting and a clever plot.",            "output": "positive"},
  {"instruction": "Classify the sentiment of the review.", "input": "The jokes fell flat and the end was dull.",  "output": "negative"},
  {"instruction": "Name the animal in the sentence.",      "input": "A grey cat slept on the roof.",              "output": "cat"},
  {"instruction": "Name the animal in the sentence.",      "input": "The farmer fed his horse.",                  "output": "horse"},
  {"instruction": "Name the animal in the sentence.",      "input": "She was followed home by a dog.",            "output": "dog"},
  {"instruction": "Answer in one word.",                   "input": "What color is the sky on a clear day?",      "output": "blue"},
  {"instruction": "Answer in one word.",                   "input": "What color is grass?",                       "output": "green"},
  {"instruction": "Answer in one word.",                   "input": "What do you call frozen water?",             "output": "ice"}
]'

# ask ADAPTER prints what the base answers to each row, with the adapter or (null) without.
ask() {
	jq -c '.[]' <<<"$rows" | while read -r row; do
		post /generate "$(jq -c --argjson adapter "$1" '{model: "t5", adapter: $adapter, instruction, input, parameters: {max_new_tokens: 8}}' <<<"$row")" | jq -r .text
	done
}
say "Before: what the base answers"
ask null >"$work/before"
cat "$work/before"

say "Tuning an adapter on $(jq length <<<"$rows") rows, 30 epochs"
job=$(post /tune/instruction "$(jq -c '{
  model: "t5",
  name: "follows",
  dataset: {rows: .},
  lora: {r: 8, alpha: 16, target_modules: ["q", "v"]},
  hyperparameters: {epochs: 30, batch_size: 5, learning_rate: 3e-3, max_length: 64, max_target_length: 8}
}' <<<"$rows")")
finish "$job"

say "After: asked again, side by side"
ask '"follows"' >"$work/after"
jq -r '.[] | [.input, .output] | @tsv' <<<"$rows" >"$work/wanted"
paste "$work/wanted" "$work/before" "$work/after" | awk -F '\t' '
	BEGIN { printf "  %-44s %-10s %-24s %s\n", "input", "wanted", "before", "after" }
	{ printf "  %-44s %-10s %-24.24s %s\n", $1, $2, $3, $4; n++; before += $2 == $3; after += $2 == $4 }
	END { printf "  %d of %d as wanted before, %d after\n", before, n, after }'
