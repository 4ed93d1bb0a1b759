#!/bin/bash
# The main job: one apply reaches running processes on the nodes of two clusters, with rctl and with every kubectl.
# Argument or $STORE: sqlite (default) or postgres.
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

step "a fleet of two regions on $store"
fleet_up "${flags[@]}"
check "dev up is idempotent" rctl dev up --dir "$FLEET" "${flags[@]}"
rctl dev status --dir "$FLEET"

step "one apply"
check apply rctl apply -f "$RCTL_SRC/manifests/examples/web.yaml"
check "a second apply changes nothing" rctl apply -f "$RCTL_SRC/manifests/examples/web.yaml"
check "diff sees nothing" rctl diff -f "$RCTL_SRC/manifests/examples/web.yaml"
check rollout rctl rollout status deployment/web -n web --timeout=120s
eventually 30 "six pods run in the fleet" bash -c 'rctl get pods --clusters -n web --no-headers | grep -c " Running " | grep -qx 6'
rctl get pods --clusters -n web
check "both regions have three" same "3 r1c1 3 r2c1" bash -c "rctl get pods --clusters -n web --no-headers | awk '{print \$6}' | sort | uniq -c"

step "the pods are real: pid, files, HTTP"
for context in r1c1 r2c1; do
    for pod in $(kubectl --context $context get pods -n web -o name); do
        port=$(kubectl --context $context logs -n web "$pod" | sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' | head -1)
        [ -n "$port" ] || fail "$pod of $context does not say its port"
        answer=$(curl -fsS "http://127.0.0.1:$port/") || fail "$pod of $context does not answer on $port"
        grep -q 'Hello from rctl' <<<"$answer" || fail "$pod answers: $answer"
        grep -q "${pod#pod/}" <<<"$answer" || fail "$pod does not know its name: $answer"
        curl -fsS "http://127.0.0.1:$port/healthz" >/dev/null || fail "$pod is not healthy"
    done
done
most_on_one_node() { kubectl --context r1c1 get pods -n web -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | sort -n | awk 'END {print $1}'; }
check "spread over zones" test "$(most_on_one_node)" -le 2

step "rctl"
check "get -o wide" rctl get deployment web -n web -o wide
check jsonpath same 6 rctl get deployment web -n web -o "jsonpath={.status.readyReplicas}"
check describe rctl describe deployment/web -n web
check logs bash -c 'rctl logs deployment/web --clusters -n web --tail=1 | grep -q .'
check wait rctl wait --for=condition=Available deployment/web -n web --timeout=30s
check "scale up" rctl scale deployment/web --replicas=8 -n web
check "rollout after scale" rctl rollout status deployment/web -n web --timeout=60s
eventually 30 "eight pods" bash -c 'rctl get pods --clusters -n web --no-headers | grep -c " Running " | grep -qx 8'

step "every kubectl"
for kubectl in $(kubectls); do
    echo "-- $kubectl: $("$kubectl" version --client 2>/dev/null | head -1)"
    k() { "$kubectl" "$@"; }
    check "get" k get deployments,placements -n web
    check "get -o yaml" bash -c "$kubectl get deployment web -n web -o yaml | grep -q 'image: host'"
    check "describe" bash -c "$kubectl --context r1c1 describe pods -n web | grep -q 'Node:.*r1c1n'"
    check "api-resources" bash -c "$kubectl api-resources | grep -q placements"
    check "explain" bash -c "$kubectl explain placement.spec.replicas | grep -q mode"
    check "events" k --context r1c1 get events -n web
    check "create -f" bash -c "printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made, namespace: web}\ndata: {a: b}\n' | $kubectl create -f -"
    check "label" k label configmap made -n web tier=test
    check "selector" same configmap/made "$kubectl" get configmap -n web -l tier=test -o name
    check "apply" bash -c "printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: web}\ndata: {a: b}\n' | $kubectl apply --server-side -f -"
    check "scale" k scale deployment/web --replicas=6 -n web
    check "rollout status" k rollout status deployment/web -n web --timeout=60s
    check "wait" k wait --for=condition=Available deployment/web -n web --timeout=30s
    pod=$("$kubectl" --context r1c1 get pods -n web -o jsonpath='{.items[0].metadata.name}')
    check "logs" bash -c "$kubectl --context r1c1 logs -n web $pod | grep -q listening"
    timeout 60 "$kubectl" --context r1c1 logs -f -n web "$pod" >"$WORK/follow" 2>&1 &
    follow=$!
    timeout 60 "$kubectl" get configmap -n web -w >"$WORK/watch" 2>&1 &
    watch=$!
    eventually 30 "logs -f" grep -q listening "$WORK/follow"
    eventually 30 "get -w shows what is there" grep -q applied "$WORK/watch"
    check "annotate" k annotate configmap applied -n web seen=yes
    eventually 30 "get -w shows changes" bash -c "[ \$(grep -c applied '$WORK/watch') -ge 2 ]"
    kill $follow $watch
    wait $follow $watch || true
    check "delete" k delete configmap made applied -n web
done

step "a change reaches the running pods"
check "new message" bash -c "sed 's/Hello from rctl/Hello again/' '$RCTL_SRC/manifests/examples/web.yaml' | rctl apply -f -"
again() {
    local pod port
    pod=$(kubectl --context r2c1 get pods -n web -o name | head -1)
    port=$(kubectl --context r2c1 logs -n web "$pod" | sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' | head -1)
    curl -fsS "http://127.0.0.1:$port/" | grep -q 'Hello again'
}
eventually 60 "the ConfigMap's new text is served" again

step "delete"
check "delete -f" rctl delete -f "$RCTL_SRC/manifests/examples/web.yaml" --timeout=90s
eventually 60 "no pod is left" bash -c '! rctl get pods --clusters -n web --no-headers 2>/dev/null | grep -q .'

step "every daemon ends in peace when asked to"
daemons=$(rctl dev status --dir "$FLEET" -o json | grep -o '"pid":[ ]*[0-9]*' | grep -o '[0-9]*$')
[ "$(wc -w <<<"$daemons")" = 13 ] || fail "not 13 daemons: $daemons"
check "SIGTERM" kill $daemons
gone() { ! kill -0 $daemons 2>/dev/null; }
eventually 30 "all daemons are gone" gone
for log in "$FLEET"/log/*.log; do
    check "the last word of $log: $(tail -n 1 "$log" | cut -c1-300)" grep -q '"event":"stopped"' <(tail -n 1 "$log")
done

step "down leaves nothing behind"
check down rctl dev down --dir "$FLEET"
[ ! -e "$FLEET" ] || fail "$FLEET is still there: $(ls "$FLEET")"
if pgrep -f "$WORK" >/dev/null; then
    pgrep -af "$WORK"
    [ "$store" = postgres ] || fail "processes are left"
fi
echo "ok"
