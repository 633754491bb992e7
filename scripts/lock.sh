#!/usr/bin/env bash
# Writes every lock file anew: universal (all platforms, Python 3.11+), with hashes, naming no registry.
set -euo pipefail
uv=${UV:-.venv/bin/uv}
compile() { "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-header --no-annotate "$@"; }
shipped=$(mktemp)
trap 'rm -f "$shipped"' EXIT
.venv/bin/python scripts/third_party.py > "$shipped"
compile "$shipped" -o requirements.lock
compile -c requirements.lock requirements/build.in -o requirements/build.lock
compile -c requirements.lock requirements/dev.in -o requirements/dev.lock
compile requirements/node.in -o requirements/node.lock
