#!/usr/bin/env bash
# Makes the virtual environment of the benchmark's peers: install.sh FOLDER REQUIREMENTS
# The command python3 must be one that they all support (3.11 to 3.13).
set -euo pipefail
venv=$1 requirements=$2
if cmp -s "$requirements" "$venv/installed.txt"; then
	echo "$venv is there"
	exit
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input -q -r "$requirements"
cp "$requirements" "$venv/installed.txt"
"$venv/bin/python" -m pip list --format freeze --disable-pip-version-check | grep -iE '^(torch|transformers|peft|tokenizers|onnx|onnxruntime|ctranslate2|fastapi|uvicorn)=='
