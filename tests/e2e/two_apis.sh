#!/bin/bash
# Two API servers of one cluster on one PostgreSQL: agents use either, logs, assignments, metrics and stored lines go through
# both, and the loss of one loses nothing and doubles nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

pg=$(mktemp -d /tmp/rctl-pg.XXXXXX) # the server runs as another user, who cannot look into $WORK
chmod 755 "$pg"
pids=()
AT_EXIT+=('kill "${pids[@]}" 2>/dev/null; sleep 0.3; kill -9 "${pids[@]}" 2>/dev/null'
    'for s in $(pgrep -f "resource-pod-shim $WORK/"); do kill -9 $(pgrep -P $s) $s; done' # after the agents: they start pods anew
    "\"$RCTL_SRC/scripts/pg-private\" stop \"$pg/db\"; rm -rf \"$pg\"")
rc=0
url=$("$RCTL_SRC/scripts/pg-private" start "$pg/db") || rc=$?
[ $rc != 77 ] || exit 77
[ $rc = 0 ] || fail "PostgreSQL does not start"

D=$WORK/two
mkdir -p "$FLEET/log" "$D"

step "certificates"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
    -keyout "$D/ca.key" -out "$D/ca.crt" 2>/dev/null
cert() { # cert FILE SUBJECT
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$D/$1.key" -out "$D/$1.csr" 2>/dev/null
    openssl x509 -req -in "$D/$1.csr" -CA "$D/ca.crt" -CAkey "$D/ca.key" -CAcreateserial -days 2 -out "$D/$1.crt" \
        -extfile <(echo "subjectAltName=IP:127.0.0.1") 2>/dev/null
}
cert api /CN=api
cert admin /O=system:masters/CN=admin
cert peer /O=system:apiservers/CN=peer
cert controller /O=system:controllers/CN=controller
for n in n1 n2 n3; do cert $n "/O=system:nodes/CN=system:node:$n"; done

# Ports that nobody has now.
read -r -a port < <(perl -MIO::Socket::INET -e \
    '@s = map { IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:0") } 1..4; print join(" ", map { $_->sockport } @s), "\n"')

config() { # config NAME PORT CERT
    cat >"$D/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:$2", certificate-authority: $D/ca.crt}}
users:
- {name: u, user: {client-certificate: $D/$3.crt, client-key: $D/$3.key}}
contexts:
- {name: c, context: {cluster: c, user: u}}
current-context: c
END
}

declare -A pid
start() { # start NAME PROGRAM FLAG...
    local name=$1
    shift
    "$@" >>"$FLEET/log/$name.log" 2>&1 &
    pid[$name]=$!
    pids+=($!)
}

api() { # api NAME PORT AGENTPORT
    start "$1" resource-cluster-api --cluster-name=two --instance="$1" --region=r1 --network-az="net-$1" \
        --listen-address="127.0.0.1:$2" --agent-address="127.0.0.1:$3" --agent-advertise="127.0.0.1:$3" \
        --peer-url="https://127.0.0.1:$2" --peer-client-cert="$D/peer.crt" --peer-client-key="$D/peer.key" \
        --store="$url&schema=two" --metrics-store="$url&schema=two_metrics" --logs-store="$url&schema=two_logs" \
        --telemetry-checkpoint=5s \
        --tls-cert-file="$D/api.crt" --tls-private-key-file="$D/api.key" --client-ca-file="$D/ca.crt"
    config "$1" "$2" admin
    config "$1-controller" "$2" controller
    eventually 20 "$1 is ready" kubectl --kubeconfig "$D/$1.kubeconfig" get --raw /readyz
}

# A controller that cannot renew its lease ends, and its unit starts it again.
supervised() {
    trap 'kill -9 $! 2>/dev/null' EXIT
    trap 'exit 0' TERM
    while :; do
        "$@" &
        wait $! || sleep 1
    done
}

controller() { # controller NAME
    start "$1-controller" supervised resource-cluster-controller --kubeconfig="$D/$1-controller.kubeconfig" --context=c \
        --identity="$1"
}

agent() { # agent NODE NETWORK-AZ
    start "$1" resource-cluster-agent --node-name="$1" --region=r1 --zone="zone-$1" --network-az="$2" \
        --server="127.0.0.1:${port[2]},region=r1,network-az=net-a" --server="127.0.0.1:${port[3]},region=r1,network-az=net-b" \
        --state-dir="$D/node-$1" --tls-cert-file="$D/$1.crt" --tls-private-key-file="$D/$1.key" --ca-file="$D/ca.crt"
}
a() { kubectl --kubeconfig "$D/a.kubeconfig" "$@"; }
b() { kubectl --kubeconfig "$D/b.kubeconfig" "$@"; }
shims() { pgrep -f "resource-pod-shim $D/" | sort -n | tr '\n' ' '; }
ready() { same "True True True" "$1" get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'; }
on() { [ "$(grep -ho '"event":"agent-connected","node":"[^"]*"' "$FLEET/log/$1.log" | grep -c "\"$2\"")" -ge "${3:-1}" ]; }

# value SERVER QUERY: the one number that it answers
value() {
    kubectl --kubeconfig "$D/$1.kubeconfig" get --raw "/api/v1/query?query=$2" | grep -o '"value":\[[^]]*' | grep -o '"[^"]*"$' | tr -d '"'
}
# stored SERVER POD: lines of the log database, whatever the node has
stored() {
    local p=${port[0]}
    [ "$1" = a ] || p=${port[1]}
    curl -sS --cacert "$D/ca.crt" --cert "$D/admin.crt" --key "$D/admin.key" -H "rctl-stored: true" \
        "https://127.0.0.1:$p/api/v1/namespaces/count/pods/$2/log"
}
up() { grep -ho '"event":"telemetry-store-[a-z]*","store":"'"$2"'"' "$FLEET/log/$1.log" | tail -n 1 | grep -q -- -up; }

step "two API servers, each with its controller, and three nodes"
api a "${port[0]}" "${port[2]}"
api b "${port[1]}" "${port[3]}"
controller a
controller b
agent n1 net-a
agent n2 net-b
agent n3 net-b
eventually 20 "three nodes are ready" ready a
eventually 20 "n1 is on the line with a, its own zone's" on a n1
eventually 20 "n2 is on the line with b" on b n2
eventually 20 "n3 is on the line with b" on b n3
eventually 10 "both show the heartbeats of all" bash -c "for f in $D/a.kubeconfig $D/b.kubeconfig; do
    [ \"\$(kubectl --kubeconfig \$f get --raw /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases | grep -o renewTime | wc -l)\" = 3 ] || exit 1; done"

step "assignments and logs through both"
sed 's/replicas: 4/replicas: 3/' "$RCTL_SRC/tests/fixtures/manifests/cluster-web.yaml" >"$D/web.yaml"
check apply a apply -f "$D/web.yaml"
check rollout b -n web rollout status deployment/web --timeout=60s
declare -A at
for node in n1 n2 n3; do
    at[$node]=$(b -n web get pods -o "jsonpath={.items[?(@.spec.nodeName==\"$node\")].metadata.name}")
    [ -n "${at[$node]}" ] || fail "no pod on $node"
    eventually 10 "logs of $node through a" bash -c "kubectl --kubeconfig $D/a.kubeconfig -n web logs ${at[$node]} | grep -q 'started on $node'"
    eventually 10 "logs of $node through b" bash -c "kubectl --kubeconfig $D/b.kubeconfig -n web logs ${at[$node]} | grep -q 'started on $node'"
done
check "a log is followed through the other server" bash -c \
    "timeout 3 kubectl --kubeconfig $D/a.kubeconfig -n web logs -f ${at[n2]} | grep -q 'started on n2'"

step "metrics and stored lines through both, whoever has the database"
check "one server alone has each database" bash -c "[ \$(cat $FLEET/log/[ab].log | grep -c telemetry-store-up) = 2 ] && [ \$(cat $FLEET/log/[ab].log | grep -c telemetry-store-elsewhere) = 2 ]"
eventually 30 "samples of three nodes through a" same 3 value a 'count(node_load1)'
eventually 10 "samples of three nodes through b" same 3 value b 'count(node_load1)'
eventually 10 "what objects are, through a" same 3 value a 'count(kube_node_info)'
eventually 10 "what objects are, through b" same 3 value b 'count(kube_node_info)'
eventually 20 "pods and who made them" same 3 value a 'count(kube_pod_info%7Bnamespace%3D%22web%22%7D*on(namespace,pod)group_left(owner_name)kube_pod_owner%7Bowner_kind%3D%22ReplicaSet%22%7D)'
eventually 60 "kubectl top through a" bash -c "[ \$(kubectl --kubeconfig $D/a.kubeconfig top nodes --no-headers | wc -l) = 3 ]"
eventually 10 "kubectl top through b" bash -c "[ \$(kubectl --kubeconfig $D/b.kubeconfig top nodes --no-headers | wc -l) = 3 ]"
counter() { # counter NODE LINES: a pod that counts
    cat <<END
apiVersion: v1
kind: Pod
metadata: {name: count-$1, namespace: count}
spec:
  runtimeClassName: host
  restartPolicy: Never
  nodeName: $1
  containers:
  - {name: c, image: host, resources: {requests: {cpu: 10m}}, command: ["/bin/sh", "-c", "i=0; while [ \$i -lt $2 ]; do i=\$((i+1)); echo line \$i; sleep 0.05; done"]}
END
}
LINES_EACH=1200 # a minute: through both losses
check "a namespace" a create namespace count
for n in n1 n2 n3; do counter $n $LINES_EACH; done >"$D/count.yaml"
sed -i 's/^apiVersion/---\napiVersion/' "$D/count.yaml"
check "counters" a apply -f "$D/count.yaml"
for n in n1 n2 n3; do
    eventually 20 "lines of $n are stored, a" bash -c "$(declare -f stored); D=$D; port=(${port[*]}); stored a count-$n | grep -q '^line 2$'"
    eventually 5 "lines of $n are stored, b" bash -c "$(declare -f stored); D=$D; port=(${port[*]}); stored b count-$n | grep -q '^line 2$'"
done
eventually 20 "what containers ask for" same 0.03 value b 'sum(kube_pod_container_resource_requests%7Bresource%3D%22cpu%22,unit%3D%22core%22%7D)'

step "kill -9 of b: its nodes go to a, nothing is lost"
before=$(shims)
kill -9 "${pid[b]}"
eventually 20 "n2 is on the line with a" on a n2
eventually 20 "n3 is on the line with a" on a n3
for _ in {1..18}; do # longer than a node may be silent
    check "all nodes are ready" ready a
    sleep 1
done
check "the same processes" test "$before" = "$(shims)"
check "no node was ever called not ready" bash -c "! kubectl --kubeconfig $D/a.kubeconfig get events -A | grep -q NodeNotReady"
check "scale" a -n web scale deployment/web --replicas=6
check rollout a -n web rollout status deployment/web --timeout=60s
check "logs of n2" bash -c "kubectl --kubeconfig $D/a.kubeconfig -n web logs ${at[n2]} | grep -q 'started on n2'"

eventually 10 "a has the metrics" up a metrics
eventually 10 "a has the lines" up a logs
eventually 10 "samples of three nodes" same 3 value a 'count(node_load1)'

step "b is back, then a is killed"
api b "${port[1]}" "${port[3]}"
check "six pods are seen by b" same 6 bash -c "kubectl --kubeconfig $D/b.kubeconfig -n web get pods --no-headers | grep -c Running"
before=$(shims)
kill -9 "${pid[a]}"
for n in n1 n2 n3; do eventually 20 "$n is on the line with b" on b $n; done
check "all nodes are ready" ready b
check "the same processes" test "$before" = "$(shims)"
eventually 10 "b has the metrics" up b metrics
eventually 10 "b has the lines" up b logs
check "scale" b -n web scale deployment/web --replicas=3
eventually 40 "three pods" same 3 bash -c "kubectl --kubeconfig $D/b.kubeconfig -n web get pods --no-headers | grep -c Running"
check "no node was ever called not ready" bash -c "! kubectl --kubeconfig $D/b.kubeconfig get events -A | grep -q NodeNotReady"

step "every line is stored once, every sample too"
seq -f 'line %.0f' 1 $LINES_EACH >"$D/lines"
for n in n1 n2 n3; do
    eventually 60 "all lines of $n" bash -c "$(declare -f stored); D=$D; port=(${port[*]}); stored b count-$n | cmp - $D/lines"
done
eventually 20 "samples of three nodes" same 3 value b 'count(node_load1)'
# One node's interval is 15 s: what was missing while nobody had the database came from the spool.
check "no gap of two intervals in the last minute" same 3 value b 'count(count_over_time(node_load1%5B1m%5D)%3E%3D3)'
echo "ok"
