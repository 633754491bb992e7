#!/usr/bin/env bash
# Makes .venv with the newest suitable Python: 3.11 or later. PYTHON=... chooses another.
set -euo pipefail
[ -x .venv/bin/python ] && exit 0
suits() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
chosen=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if suits "$candidate"; then chosen=$candidate; break; fi
done
if [ -z "$chosen" ]; then
  echo "Python 3.11 or later is needed; none was found. Install it, or name it: make PYTHON=/path/to/python3" >&2
  exit 1
fi
if ! "$chosen" -m venv .venv; then
  rm -rf .venv
  echo "'$chosen -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 1
fi
