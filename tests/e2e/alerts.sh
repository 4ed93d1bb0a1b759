#!/bin/bash
# Alerts: metrics and objects → rules → webhooks, over receivers that fail, kills, a lost node, a lost cluster.
# Argument or $STORE: sqlite (default) or postgres.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

store=${1:-${STORE:-sqlite}}
flags=(--regions 1 --clusters 1 --nodes 2)
if [ "$store" = postgres ]; then
    pg=$(mktemp -d /tmp/rctl-pg.XXXXXX) # the server runs as another user, who cannot look into $WORK
    chmod 755 "$pg"
    AT_EXIT+=("\"$RCTL_SRC/scripts/pg-private\" stop \"$pg/db\"; rm -rf \"$pg\"")
    rc=0
    url=$("$RCTL_SRC/scripts/pg-private" start "$pg/db") || rc=$?
    [ $rc != 77 ] || exit 77
    [ $rc = 0 ] || fail "PostgreSQL does not start"
    flags+=(--store "$url")
fi

INBOX=$WORK/inbox
export INBOX
perl "$RCTL_SRC/tests/e2e/webhook.pl" "$INBOX" >"$WORK/port" &
AT_EXIT+=("kill $!")
eventually 10 "the receiver listens" test -s "$WORK/port"
port=$(cat "$WORK/port")

# got STATUS TEXT...: a request was answered STATUS whose line has all the texts
got() {
    local lines
    lines=$(grep "\"status\":$1,\"headers\"" "$INBOX" || true)
    shift
    for text in "$@"; do lines=$(grep -F -- "$text" <<<"$lines" || true); done
    [ -n "$lines" ]
}
count() { grep -c -F -- "$1" "$INBOX" || true; }
# status KIND NAME JSONPATH CONTEXT
status() { rctl get "$1" "$2" -n "$3" -o "jsonpath={.status$4}" --context "$5"; }

step "a fleet on $store, a receiver with a token, a rule"
fleet_up "${flags[@]}"
cat >"$WORK/alerts.yaml" <<EOF
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: Secret
metadata: {name: hook, namespace: team}
stringData: {token: s3cret, signing: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, routing: r0ute}
---
apiVersion: monitoring.rctl.io/v1alpha1
kind: AlertReceiver
metadata: {name: hook, namespace: team}
spec:
  webhook:
    url: http://127.0.0.1:$port/hook
    timeout: 3s
    bearerTokenSecretRef: {name: hook, key: token}
    signingSecretRef: {name: hook, key: signing}
  groupBy: [alertname, cluster]
  groupWait: 1s
  groupInterval: 2s
  repeatInterval: 1h
---
apiVersion: monitoring.rctl.io/v1alpha1
kind: AlertReceiver
metadata: {name: pager, namespace: team}
spec:
  match: [{name: severity, value: info}]
  groupBy: [alertname, cluster]
  groupWait: 0s
  groupInterval: 1s
  webhook:
    format: PagerDuty
    url: http://127.0.0.1:$port/v2/enqueue
    keySecretRef: {name: hook, key: routing}
    signingSecretRef: {name: hook, key: signing}
---
apiVersion: monitoring.rctl.io/v1alpha1
kind: AlertRule
metadata: {name: memory, namespace: team}
spec:
  groups:
  - name: g
    interval: 1s
    rules:
    - alert: MemoryThere
      expr: node_memory_MemAvailable_bytes > 1000
      for: 2s
      labels: {severity: info}
      annotations: {summary: "{{ \$labels.node }} has {{ \$value | humanize1024 }}B"}
    - {alert: Bad, expr: "sum((("}
EOF
check apply rctl apply -f "$WORK/alerts.yaml"
eventually 60 "the alert arrives" got 200 '"alertname":"MemoryThere","cluster":"r1c1"' '"status":"firing"' '"authorization":"Bearer s3cret"' '"version":"4"' '"webhook-signature":"v1,'
eventually 30 "PagerDuty gets an incident" got 200 '"path":"/v2/enqueue"' '"event_action":"trigger"' '"routing_key":"r0ute"' '[FIRING:' 'MemoryThere r1c1'
eventually 30 "its text is made" got 200 '"alertname":"MemoryThere"' 'iB"'
eventually 30 "the rule says that it fires" same 2 status alertrule memory team .firing r1c1
eventually 30 "the fleet says so too" same 2 status alertrule memory team .firing global
check "the bad rule is named" bash -c 'rctl get alertrule memory -n team --context r1c1 -o yaml | grep -q "alert \"Bad\": 1:"'
eventually 30 "the receiver is well" same True status alertreceiver hook team '.conditions[?(@.type=="Delivering")].status' r1c1
check "delete the rule" rctl delete alertrule memory -n team
eventually 60 "its end arrives" got 200 '"alertname":"MemoryThere"' '"status":"resolved"'

eventually 30 "the incident is closed" got 200 '"event_action":"resolve"' 'MemoryThere r1c1'
check "it is the same" test "$(grep MemoryThere "$INBOX" | grep -o '"dedup_key":"[^"]*"' | sort -u | wc -l)" = 1

step "a zone of three nodes that never answer, a node that is cordoned; another node is lost; meanwhile a silence"
for n in z1 z2 z3; do
    echo "{apiVersion: v1, kind: Node, metadata: {name: $n, labels: {topology.kubernetes.io/zone: lost, topology.rctl.io/network-az: lost-net}}}"
    echo ---
done >"$WORK/nodes.yaml"
echo "{apiVersion: v1, kind: Node, metadata: {name: worked-at}, spec: {unschedulable: true}}" >>"$WORK/nodes.yaml"
check "the nodes" rctl apply -f "$WORK/nodes.yaml" --context r1c1
victim=r1c1n1
kill_daemon $victim
pkill -9 -f "$FLEET/nodes/$victim" || true
rctl apply -f - <<EOF
apiVersion: monitoring.rctl.io/v1alpha1
kind: Silence
metadata: {name: quiet, namespace: team}
spec:
  matchers: [{name: alertname, value: Quiet}]
  endsAt: "2999-01-01T00:00:00Z"
  comment: a test
EOF
eventually 30 "it is active" same active status silence quiet team .state r1c1
sed -n '/kind: AlertRule/,$p' "$WORK/alerts.yaml" | sed 's/MemoryThere/Quiet/; s/name: memory/name: quiet/; s/AlertRule/PrometheusRule/' >"$WORK/quiet.yaml"
{ echo "apiVersion: monitoring.coreos.com/v1"; cat "$WORK/quiet.yaml"; } | rctl apply -f -
eventually 60 "it silences what fires" same 2 status silence quiet team .silenced r1c1
eventually 60 "it arrives with region, cluster, node and AZs" got 200 '"status":"firing"' '"alertname":"NodeSilent"' '"region":"r1"' '"cluster":"r1c1"' \
    '"node":"r1c1n1"' '"zone":"r1-az1"' '"network_az":"r1-net1"' '"groupSequence":1' \
    'in node zone r1-az1, network zone r1-net1' '"generatorURL":"https://127.0.0.1:' 'query=rctl_node_silent"' '"externalURL":"https://127.0.0.1:' '/clusters/r1c1"'
check "nothing was sent" test "$(count '"alertname":"Quiet"')" = 0
check "delete the silence" rctl delete silence quiet -n team
eventually 30 "now it arrives" got 200 '"alertname":"Quiet"'
eventually 60 "the zone arrives with its members" got 200 '"alertname":"ZoneSilent","axis":"both","cluster":"r1c1"' \
    '"summary":"3 of 3 nodes of zone lost of network zone lost-net' 'all of them: z1, z2, z3"'
check "its nodes do not" test "$(count '"node":"z')" = 0
check "they are known to be silent" bash -c 'rctl get alertrule builtin -n kube-system --context r1c1 -o yaml | grep -q "node: z2"'
check "the cordoned one is not told" test "$(count worked-at)" = 0
check "the nodes go" rctl delete node z1 z2 z3 worked-at --context r1c1
eventually 30 "the fleet sees it" bash -c 'rctl get alertrule builtin-fleet -n kube-system -o yaml | grep -q "node: r1c1n1"'

step "the receiver fails, the controller is killed again and again, the node comes back"
eventually 60 "the end of the zone arrives" got 200 '"status":"resolved"' '"alertname":"ZoneSilent"'
echo 500 >"$INBOX.answer"
fleet_up "${flags[@]}"
eventually 60 "the end is tried" got 500 '"status":"resolved"' '"alertname":"NodeSilent"'
for _ in 1 2 3; do
    kill_daemon r1c1-alert-controller
    fleet_up "${flags[@]}" >/dev/null
    sleep 1
done
check "it did not get through" test "$(grep '"status":200,' "$INBOX" | grep -c '"groupKey":"{}:{alertname=\\"NodeSilent\\".*"groupSequence":2}' || true)" = 0
eventually 30 "the status says so" same False status alertreceiver hook team '.conditions[?(@.type=="Delivering")].status' r1c1
rm "$INBOX.answer"
eventually 90 "the end arrives" got 200 '"status":"resolved"' '"alertname":"NodeSilent"' '"groupSequence":2'

step "a cluster is silent: one notification, then its end"
check "call it silent early" rctl patch cluster r1c1 --type=merge -p '{"spec":{"alerts":{"silentAfter":"2s"}}}'
kill_daemon r1c1-api
eventually 120 "it arrives" got 200 '"status":"firing"' '"alertname":"ClusterSilent","cluster":"r1c1","region":"r1"'
fleet_up "${flags[@]}"
eventually 90 "its end arrives" got 200 '"status":"resolved"' '"alertname":"ClusterSilent"'
check "once each" test "$(count '"alertname":"ClusterSilent","cluster":"r1c1","region":"r1","severity":"critical"},"commonAnn')" = 2

step "each notification has one key, and each key one sequence of a group"
pairs=$(grep groupSequence "$INBOX" | sed 's/.*"idempotency-key":"\([^"]*\)".*"groupKey":"\(.*\)","truncatedAlerts".*"groupSequence":\([0-9]*\).*/\1 \2 \3/' | sort -u)
check "keys" test "$(cut -d' ' -f1 <<<"$pairs" | sort -u | wc -l)" = "$(wc -l <<<"$pairs")"
check "sequences" test "$(cut -d' ' -f2- <<<"$pairs" | sort -u | wc -l)" = "$(wc -l <<<"$pairs")"
echo "ok"
