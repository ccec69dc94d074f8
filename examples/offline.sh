#!/usr/bin/env bash
# Runs examples on a machine that cannot reach the Hugging Face Hub:
#
#   examples/offline.sh examples/full.sh examples/lora.sh examples/instruction.sh
#
# Under the names of the real repositories a mirror on this machine serves STAND-INS, small
# ones, so that the examples do all they do with the real ones, in seconds. The figures they
# print are those of the stand-ins. Nothing of it enters your own cache of the hub.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# != 0 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' examples/offline.sh; exit 2; }
mirror=$(mktemp -d)
hub=
trap '[ -z "$hub" ] || { kill "$hub" && wait "$hub" || true; }; rm -rf "$mirror"' EXIT

echo "The hub is played by a mirror. What it has:"
go run ./examples/mirror --root "$mirror/hub"
go build -o "$mirror/serve" ./examples/hub
mkfifo "$mirror/address"
"$mirror/serve" --root "$mirror/hub" >"$mirror/address" &
hub=$!
read -r HF_ENDPOINT <"$mirror/address"

# A cache of its own: the stand-ins have the real names. No token: nobody asks for one.
export HF_ENDPOINT HF_HOME=$mirror/cache HF_HUB_DISABLE_IMPLICIT_TOKEN=1
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE
for example in "$@"; do
	printf '\n=== %s, with stand-ins\n' "$example"
	"$example"
done
