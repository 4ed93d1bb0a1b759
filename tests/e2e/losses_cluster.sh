#!/bin/bash
# Losses inside one cluster: a pod's process, an agent, the cluster's API and controller, a node with its pods.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

k() { kubectl --context r1c1 -n web "$@"; }
export -f k
running() { [ "$(k get pods --no-headers -o wide | grep '1/1 *Running' | grep -vc "${2:-nothing}")" = "$1" ]; }

# The main processes of this fleet's pods: children of its shims.
pids() {
    local shim
    for shim in $(pgrep -f "resource-pod-shim $FLEET/" || true); do pgrep -P "$shim" || true; done | sort -n | tr '\n' ' '
}
pid_of() { # pid_of POD
    local p
    for p in $(pids); do
        if tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx "POD=$1"; then echo "$p"; fi
    done
}

step "one cluster with two nodes in two zones"
fleet_up --regions 1 --clusters 1 --nodes 2
check apply kubectl --context r1c1 apply -f "$RCTL_SRC/tests/fixtures/manifests/cluster-web.yaml"
check rollout k rollout status deployment/web --timeout=60s
for node in r1c1n1 r1c1n2; do
    check "two on $node" same 2 bash -c "kubectl --context r1c1 -n web get pods -o wide --no-headers | grep -c $node"
done
k get pods -o wide

step "kill -9 of a pod's process: restarted"
pod=$(k get pods -o jsonpath='{.items[0].metadata.name}')
node=$(k get pod "$pod" -o jsonpath='{.spec.nodeName}')
pid=$(pid_of "$pod")
[ -n "$pid" ] || fail "no process of $pod"
kill -9 "$pid"
eventually 30 "restart is counted" same 1 k get pod "$pod" -o 'jsonpath={.status.containerStatuses[0].restartCount}'
eventually 40 "ready again" running 4
check "the last state is told" same "137" k get pod "$pod" -o 'jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}'
check "logs of the new run" bash -c "k logs $pod | grep -q 'started on $node'"
check "logs of the old run" bash -c "k logs -p $pod | grep -q 'started on $node'"

step "kill -9 of an agent: pods untouched, re-adopted"
before=$(pids)
kill_daemon "$node"
sleep 1
check "the pods still run" test "$before" = "$(pids)"
fleet_up
sleep 2
check "the same processes, not new ones" test "$before" = "$(pids)"
check "restarted no more often" same 1 k get pod "$pod" -o 'jsonpath={.status.containerStatuses[0].restartCount}'
kill -9 "$(pid_of "$pod")"
eventually 60 "the adopted pod is still looked after" same 2 k get pod "$pod" -o 'jsonpath={.status.containerStatuses[0].restartCount}'
eventually 60 "ready again" running 4

step "kill -9 of the cluster's API and controller: nothing lost, resumes"
before=$(pids)
k get deployment web -o yaml >"$WORK/deployment"
kill_daemon r1c1-api
kill_daemon r1c1-controller
sleep 2
check "the pods still run" test "$before" = "$(pids)"
fleet_up
check "the same pods" test "$before" = "$(pids)"
check "four of them" running 4
check "scale works" k scale deployment/web --replicas=6
eventually 60 "six" running 6
check "scale back" k scale deployment/web --replicas=4
eventually 60 "four" running 4

step "a node with its pods is lost: replaced on the other, spread kept"
kill_daemon r1c1n1
for shim in $(pgrep -f "resource-pod-shim $FLEET/nodes/r1c1n1/" || true); do
    kill -9 $(pgrep -P "$shim" || true) "$shim" || true
done
eventually 20 "not ready within 15 s" same Unknown kubectl --context r1c1 get node r1c1n1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
eventually 60 "four run on the other node" running 4 r1c1n1
check "an event says so" bash -c 'kubectl --context r1c1 get events -A | grep -q NodeNotReady'
fleet_up
eventually 30 "the node is back" same True kubectl --context r1c1 get node r1c1n1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
eventually 30 "its old pods are gone" bash -c '! k get pods --no-headers | grep -q Terminating'
check "rollout restart" k rollout restart deployment/web
check "rollout" k rollout status deployment/web --timeout=60s
for node in r1c1n1 r1c1n2; do
    eventually 10 "spread again over $node" bash -c "k get pods -o wide --no-headers | grep -c $node | grep -qE '^[123]$'"
done

step "who owns a pod follows its labels"
set_of() { k get rs -o 'jsonpath={.items[?(@.spec.replicas>0)].metadata.name}'; }
owner_of() { k get "$1" "$2" -o 'jsonpath={.metadata.ownerReferences[?(@.controller==true)].name}'; }
pod=$(k get pods -o jsonpath='{.items[0].metadata.name}')
set=$(set_of)
check "take a pod out" k label pod "$pod" app=aside --overwrite
eventually 15 "it is released" same "" owner_of pod "$pod"
eventually 30 "another one runs in its place" same 4 bash -c "k get pods -l app=web --no-headers | grep -c '1/1 *Running'"
check "it runs on" same Running k get pod "$pod" -o 'jsonpath={.status.phase}'
check "put it back" k label pod "$pod" app=web --overwrite
eventually 30 "four again" same 4 bash -c "k get pods -l app=web --no-headers | grep -v Terminating | wc -l"
sets=$(k get rs -o 'jsonpath={.items[*].metadata.name}')
check "delete the deployment, not what is its" k delete deployment web --cascade=orphan
eventually 15 "the set is nobody's" same "" owner_of rs "$set"
check "and no pod went" running 4
check "the deployment again" kubectl --context r1c1 apply -f "$RCTL_SRC/tests/fixtures/manifests/cluster-web.yaml"
eventually 15 "the set is adopted" same web owner_of rs "$set"
check rollout k rollout status deployment/web --timeout=60s
check "no other set" same "$sets" k get rs -o 'jsonpath={.items[*].metadata.name}'

step "pods die, and the agent in the midst of making them anew: nothing is left behind"
for pause in 0.02 0.05 0.09; do
    pkill -9 -f "resource-pod-shim $FLEET/nodes/r1c1n1/" || true
    sleep $pause
    kill_daemon r1c1n1
    k delete pods --all --wait=false >/dev/null
    fleet_up >/dev/null
    eventually 30 "all deleted pods are gone" bash -c '! k get pods --no-headers | grep -q Terminating'
    eventually 30 "four run" running 4
done

step "an unschedulable pod says why"
check "scale beyond what is there" k patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1000"}}}]}}}}'
eventually 20 "the reason" bash -c "k get events | grep -q 'Insufficient cpu'"
check "undo" k rollout undo deployment/web
check "rollout" k rollout status deployment/web --timeout=60s

step "down leaves nothing behind"
check down rctl dev down --dir "$FLEET"
[ ! -e "$FLEET" ] || fail "$FLEET is still there"
[ -z "$(pgrep -f "$FLEET/" || true)" ] || fail "processes are left: $(pgrep -af "$FLEET/")"
echo "ok"
