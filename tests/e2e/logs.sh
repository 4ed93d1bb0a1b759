#!/bin/bash
# Logs of pods that run, that ended, and whose node is gone; argument or $STORE: sqlite (default) or postgres.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

store=${1:-${STORE:-sqlite}}
flags=()
if [ "$store" = postgres ]; then
    pg=$(mktemp -d /tmp/rctl-pg.XXXXXX) # the server runs as another user, who cannot look into $WORK
    chmod 755 "$pg"
    AT_EXIT+=("\"$RCTL_SRC/scripts/pg-private\" stop \"$pg/db\"; rm -rf \"$pg\"")
    rc=0
    url=$("$RCTL_SRC/scripts/pg-private" start "$pg/db") || rc=$?
    [ $rc != 77 ] || exit 77
    [ $rc = 0 ] || fail "PostgreSQL does not start"
    flags=(--store "$url")
fi

k() { kubectl --context r1c1 "$@"; }
r() { rctl --context r1c1 "$@"; }
export -f k r

pod() { # pod NAME POLICY SCRIPT
    cat <<END
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  runtimeClassName: host
  restartPolicy: $2
  terminationGracePeriodSeconds: 1
  nodeSelector: {kubernetes.io/hostname: r1c1n1}
  containers:
  - {name: c, image: host, command: ["/bin/sh", "-c", "$3"]}
---
END
}

step "pods that end, fail, start again and go on, on $store"
fleet_up --regions 1 --clusters 1 --nodes 2 "${flags[@]}"
twice='n=0; [ ! -e '$WORK'/again ] || n=1; touch '$WORK'/again; i=0; while [ $i -lt 30 ]; do echo run $n line $i; i=$((i + 1)); done; exit $((1 - n))'
{
    pod done Never 'i=0; while [ $i -lt 1000 ]; do echo line $i of the work; i=$((i + 1)); done'
    pod failed Never 'echo it goes wrong; echo to the other stream >&2; exit 3'
    pod again OnFailure "$twice"
    pod runs Always 'echo it runs; while :; do sleep 0.2; done'
} >"$WORK/pods.yaml"
check apply rctl --context r1c1 apply -f "$WORK/pods.yaml"
phase() { same "$2" k get pod "$1" -o 'jsonpath={.status.phase}'; }
eventually 30 "done has ended" phase "done" Succeeded
eventually 30 "failed has failed" phase failed Failed
eventually 60 "again ended the second time" phase again Succeeded
eventually 30 "runs runs" phase runs Running
for i in {0..999}; do echo "line $i of the work"; done >"$WORK/want"

look() {
    local cli
    for cli in k r; do
        check "all 1,000 lines, in order, with $cli" cmp <($cli logs "done") "$WORK/want"
        check "the last three with $cli" cmp <($cli logs "done" --tail=3) <(tail -n 3 "$WORK/want")
        check "none with $cli" cmp <($cli logs "done" --tail=0) /dev/null
        check "all are of the last hour with $cli" cmp <($cli logs "done" --since=1h) "$WORK/want"
        $cli logs "done" --timestamps >"$WORK/stamped"
        check "each line has its time with $cli" \
            cmp <(sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]+Z //' "$WORK/stamped") "$WORK/want"
        check "both streams with $cli" test "$($cli logs failed | sort | tr '\n' ' ')" = "it goes wrong to the other stream "
        check "the second run with $cli" test "$($cli logs again | grep -c '^run 1 line')" = 30
        check "the first run with $cli" test "$($cli logs -p again | grep -c '^run 0 line')" = 30
        check "nothing but the first run with $cli" test "$($cli logs --previous again | wc -l)" = 30
        check "running with $cli" test "$($cli logs runs)" = "it runs"
        if $cli logs -p runs >"$WORK/out" 2>&1; then fail "$cli: a previous run of a pod that has none: $(cat "$WORK/out")"; fi
    done
    check "none of a second to come" cmp <(k logs "done" --since-time=2100-01-01T00:00:00Z) /dev/null
    # kubectl sends whole seconds
    since=$(sed -n 501p "$WORK/stamped" | cut -c1-19)Z
    k logs "done" --timestamps --since-time="$since" >"$WORK/later"
    awk -v since="$since" 'substr($1, 1, 19) "Z" >= since' "$WORK/stamped" >"$WORK/rest"
    check "those since the time of line 500" cmp "$WORK/later" "$WORK/rest"
}

step "while the node is there"
look

step "the node is lost"
sleep 3 # what was sent is on its way into the log store: agents send within a second
kill_daemon r1c1n1
for shim in $(pgrep -f "resource-pod-shim $FLEET/nodes/r1c1n1/" || true); do
    kill -9 $(pgrep -P "$shim" || true) "$shim" || true
done
rm -rf "$FLEET/nodes/r1c1n1"
eventually 20 "not ready" same Unknown kubectl --context r1c1 get node r1c1n1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
look

step "the cluster's API starts again"
kill_daemon r1c1-api
sleep 1
rctl dev status --dir "$FLEET" >/dev/null || true
fleet_up "${flags[@]}"
kill_daemon r1c1n1 # dev up brings the node back, empty
look
echo "ok"
