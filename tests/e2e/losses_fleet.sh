#!/bin/bash
# Losses of the fleet: the global API for a while, and a whole cluster. What runs goes on; a lost cluster's share starts in
# the other region first, and nothing is deleted before it runs there.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ready() { [ "$(rctl get deployment web -n web -o 'jsonpath={.status.readyReplicas}')" = "$1" ]; }
running_in() { [ "$(kubectl --context "$1" get pods -n web --no-headers 2>/dev/null | grep -c '1/1 *Running')" = "$2" ]; }
processes() { { pgrep -f 'perl /srv/web/code/server.pl$' || true; } | wc -l; }

step "a fleet with the example"
fleet_up
check apply rctl apply -f "$RCTL_SRC/manifests/examples/web.yaml"
check rollout rctl rollout status deployment/web -n web --timeout=120s
eventually 30 "three in each region" running_in r1c1 3
eventually 30 "three in each region" running_in r2c1 3

step "the global API is away: clusters go on"
kill_daemon global-api
pod=$(kubectl --context r2c1 get pods -n web -o jsonpath='{.items[0].metadata.name}')
check "delete a pod in a cluster" kubectl --context r2c1 delete pod -n web --wait=false "$pod"
eventually 60 "the cluster replaced it alone" running_in r2c1 3
fleet_up
eventually 60 "the fleet is whole" ready 6
check "nothing moved meanwhile" running_in r1c1 3

step "the placement controller starts again: nothing is applied anew"
before=$(kubectl --context r1c1 get deployment web -n web -o jsonpath='{.metadata.resourceVersion} {.metadata.generation}')
kill_daemon global-controller
fleet_up
sleep 5
check "generation stands" test "${before#* }" = "$(kubectl --context r1c1 get deployment web -n web -o jsonpath='{.metadata.generation}')"

step "drift is repaired"
check "change a cluster's copy" kubectl --context r1c1 scale deployment/web -n web --replicas=1
eventually 60 "back to three" running_in r1c1 3

step "a whole cluster is lost: its share starts in the other region first"
for daemon in r1c1-api r1c1-controller r1c1n1 r1c1n2; do kill_daemon $daemon; done
lost=$(processes)
[ "$lost" -ge 6 ] || fail "only $lost processes before the loss is known"
eventually 120 "six run in the other region" running_in r2c1 6
[ "$(processes)" -ge 9 ] || fail "something was stopped in the cluster that cannot be reached"
eventually 60 "the fleet counts six ready" ready 6
fleet_up
eventually 120 "the returned cluster gave up what runs elsewhere, or took its share back; six are ready" ready 6
settled() { [ "$(rctl get pods --clusters -n web --no-headers | grep -c ' Running ')" = 6 ]; }
eventually 120 "six pods in all" settled
echo "ok"
