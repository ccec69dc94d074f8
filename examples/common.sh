# What the examples share; sourced by them, not run.
#
# LORIKEET_URL=http://host:port   a service that runs already, with bases of the names used
# HF_ENDPOINT=http://host:port    a mirror of the hub; see examples/offline.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# serve NAME=SOURCE… sets URL to a service with these bases: the one that LORIKEET_URL
# names, or one of its own, which ends with the script.
serve() {
	URL=${LORIKEET_URL:-}
	if [ -z "$URL" ]; then
		say "Starting the service: $*"
		GOEXPERIMENT=simd go build -o "$work/lorikeet" ./service
		URL=http://${ADDR:-127.0.0.1:8093}
		"$work/lorikeet" --addr "${URL#http://}" --data "$work/data" ${@/#/--base } 2>"$work/log" &
		server=$!
	fi
	# Ready is when every graph that a request may need is compiled. The first run
	# downloads the bases before.
	until curl -sf "$URL/readyz" >/dev/null; do
		[ -z "$server" ] || kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
		sleep 0.5
	done
}

# post PATH JSON
post() {
	curl -sS --fail-with-body "$URL$1" -H 'Content-Type: application/json' -d "$2" || { echo; exit 1; }
}

# finish JOB follows a job (the answer of POST /tune/…) to its end and prints its metrics.
# ?wait= answers when the job is over, or after so many seconds.
finish() {
	local job id
	id=$(jq -r .id <<<"$1")
	echo "  $id is queued"
	while :; do
		job=$(curl -sS --fail-with-body "$URL/tune/jobs/$id?wait=10")
		case $(jq -r .status <<<"$job") in
		queued | running) jq -r '"  \(.status)\(if .progress then ", step \(.progress.step) of \(.progress.total_steps), loss \(.progress.loss * 1000 | round / 1000)" else "" end)"' <<<"$job" ;;
		succeeded) break ;;
		*) jq . <<<"$job"; exit 1 ;;
		esac
	done
	jq -r '"  registered \(.result.kind) \(.result.adapter)", (.metrics | to_entries[]
		| select(.key | IN("train_loss", "eval_loss", "eval_accuracy", "eval_f1", "eval_bleu", "eval_rougeL", "eval_exact_match", "eval_perplexity"))
		| "  \(.key) \(.value * 10000 | round / 10000)")' <<<"$job"
}
