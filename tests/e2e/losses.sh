#!/bin/bash
# Losses: a pod's process, an agent, a node, the APIs, a whole cluster. What runs goes on, what is lost is replaced.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

pods_running() { [ "$(rctl get pods --clusters -n web --no-headers 2>/dev/null | grep -c ' Running ')" -ge "$1" ]; }
ready() { [ "$(rctl get deployment web -n web -o 'jsonpath={.status.readyReplicas}')" = "$1" ]; }
pod_pids() { pgrep -f "$1/.*resource-pod-shim|resource-pod-shim.*$1/" || true; }

step "a fleet with the example"
fleet_up
check apply rctl apply -f "$RCTL_SRC/manifests/examples/web.yaml"
check rollout rctl rollout status deployment/web -n web --timeout=120s

step "kill -9 of a pod's process: restarted"
pod=$(kubectl --context r1c1 get pods -n web -o jsonpath='{.items[0].metadata.name}')
node=$(kubectl --context r1c1 get pod "$pod" -n web -o jsonpath='{.spec.nodeName}')
pid=$(pgrep -f "server.pl" | while read -r p; do tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx "POD_NAME=$pod" && echo "$p" && break; done)
[ -n "$pid" ] || fail "no process of $pod on $node"
kill -9 "$pid"
eventually 30 "the container was restarted" same 1 kubectl --context r1c1 get pod "$pod" -n web -o 'jsonpath={.status.containerStatuses[0].restartCount}'
eventually 40 "it is ready again" kubectl --context r1c1 wait --for=condition=Ready "pod/$pod" -n web --timeout=1s

step "kill -9 of an agent: pods untouched, re-adopted"
before=$(pgrep -f server.pl | sort | tr '\n' ' ')
kill_daemon "$node"
sleep 1
check "the pods still run" same "${before% }" bash -c "pgrep -f server.pl | sort"
fleet_up
check "re-adopted, not restarted" same "${before% }" bash -c "pgrep -f server.pl | sort"
check "still counted once" same 1 kubectl --context r1c1 get pod "$pod" -n web -o 'jsonpath={.status.containerStatuses[0].restartCount}'

step "kill -9 of a cluster's API and controller: nothing lost, resumes"
kill_daemon r1c1-api
kill_daemon r1c1-controller
sleep 1
check "the pods still run" same "${before% }" bash -c "pgrep -f server.pl | sort"
fleet_up
check "the cluster answers with all its pods" bash -c 'test "$(kubectl --context r1c1 get pods -n web -o name | wc -l)" = 3'

step "the global API is away: clusters go on"
kill_daemon global-api
kubectl --context r2c1 delete pod -n web --wait=false "$(kubectl --context r2c1 get pods -n web -o jsonpath='{.items[0].metadata.name}')"
eventually 60 "the cluster replaced its pod alone" bash -c 'test "$(kubectl --context r2c1 get pods -n web --no-headers | grep -c "1/1 *Running")" = 3'
fleet_up
eventually 30 "the fleet is whole" ready 6

step "a node with its pods is lost: replaced on another node"
victim=r2c1n1
pkill -9 -f "$FLEET/nodes/$victim" || true
kill_daemon "$victim" || true
eventually 30 "it is not ready" same Unknown kubectl --context r2c1 get node $victim -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
eventually 120 "its pods run elsewhere" bash -c 'test "$(kubectl --context r2c1 get pods -n web -o wide --no-headers | grep "1/1 *Running" | grep -vc '$victim')" = 3'
eventually 30 "six are ready" ready 6
fleet_up
eventually 30 "the node is back" same True kubectl --context r2c1 get node $victim -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'

step "a whole cluster is lost: its share starts in the other region first"
for daemon in r1c1-api r1c1-controller r1c1n1 r1c1n2; do kill_daemon $daemon; done
pkill -9 -f "$FLEET/nodes/r1c1n" || true
eventually 180 "six run in the other region" bash -c 'test "$(kubectl --context r2c1 get pods -n web --no-headers | grep -c "1/1 *Running")" = 6'
eventually 30 "the fleet says six are ready" ready 6
fleet_up
eventually 120 "the returned cluster is part of it again and six are ready" ready 6
echo "ok"
