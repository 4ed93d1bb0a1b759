#!/bin/bash
# kubectl_basic_postgres.sh - kubectl_basic.sh on a PostgreSQL server of its own, with one kubectl.
set -euo pipefail
src=$(cd "$(dirname "$0")/../.." && pwd)
pg=$(mktemp -d)/pg
trap '"$src/scripts/pg-private" stop "$pg" >/dev/null 2>&1 || true; rm -rf "$(dirname "$pg")"' EXIT
chmod 755 "$(dirname "$pg")"
rc=0
url=$("$src/scripts/pg-private" start "$pg") || rc=$?
if [ "$rc" = 77 ]; then
    echo "SKIPPED: no PostgreSQL server on this machine"
    exit 77
fi
[ "$rc" = 0 ] || exit 1
kubectl=$(command -v kubectl) || {
    echo "SKIPPED: no kubectl on this machine"
    exit 77
}
API_STORE="$url" "$src/tests/e2e/kubectl_basic.sh" all "$kubectl"
