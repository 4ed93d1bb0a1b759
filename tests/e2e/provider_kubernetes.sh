#!/bin/bash
# Clusters of provider kubernetes: reached by the kubeconfig of a Secret, with a token or a client certificate, and asked
# nothing but what any Kubernetes API serves.
# An API server without agents stands in for Kubernetes; what it was asked is read from its request log.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

pids=()
AT_EXIT+=('kill -9 "${pids[@]}" 2>/dev/null')
K=$WORK/kube
mkdir -p "$K"

step "a fleet, and two Kubernetes APIs that know nothing of it"
fleet_up --regions 1 --clusters 1 --nodes 1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kube-ca \
    -keyout "$K/ca.key" -out "$K/ca.crt" 2>/dev/null
cert() { # cert FILE SUBJECT
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$K/$1.key" -out "$K/$1.csr" 2>/dev/null
    openssl x509 -req -in "$K/$1.csr" -CA "$K/ca.crt" -CAkey "$K/ca.key" -CAcreateserial -days 2 -out "$K/$1.crt" \
        -extfile <(echo "subjectAltName=IP:127.0.0.1") 2>/dev/null
}
cert api /CN=api
cert admin /O=system:masters/CN=admin
cert fleet /O=system:masters/CN=fleet
echo 'secret-of-the-fleet,fleet,1,"system:masters"' >"$K/tokens"
chmod 600 "$K/tokens"
read -r -a port < <(perl -MIO::Socket::INET -e \
    '@s = map { IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:0") } 1..4; print join(" ", map { $_->sockport } @s), "\n"')

config() { # config FILE PORT USER
    cat >"$1" <<END
apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:$2", certificate-authority-data: $(base64 -w0 "$K/ca.crt")}}
users:
- {name: u, user: {$3}}
contexts:
- {name: c, context: {cluster: c, user: u}}
current-context: c
END
}
inline() { echo "client-certificate-data: $(base64 -w0 "$K/$1.crt"), client-key-data: $(base64 -w0 "$K/$1.key")"; }

kube() { # kube NAME PORT AGENTPORT
    resource-cluster-api --cluster-name="$1" --instance="$1" --listen-address="127.0.0.1:$2" --agent-address="127.0.0.1:$3" \
        --store="sqlite:$K/$1.db" --metrics-store= --logs-store= --request-log --token-auth-file="$K/tokens" \
        --tls-cert-file="$K/api.crt" --tls-private-key-file="$K/api.key" --client-ca-file="$K/ca.crt" >"$K/$1.log" 2>&1 &
    pids+=($!)
    config "$K/$1.kubeconfig" "$2" "$(inline admin)"
    eventually 20 "$1 is ready" kubectl --kubeconfig "$K/$1.kubeconfig" get --raw /readyz
}
kube k-token "${port[0]}" "${port[1]}"
kube k-cert "${port[2]}" "${port[3]}"
config "$K/token" "${port[0]}" "token: secret-of-the-fleet"
config "$K/cert" "${port[2]}" "$(inline fleet)"

cluster() { # cluster NAME PORT KUBECONFIG
    cat <<END
apiVersion: v1
kind: Secret
metadata: {name: $1, namespace: kube-system}
data: {kubeconfig: $(base64 -w0 "$3")}
---
apiVersion: topology.rctl.io/v1alpha1
kind: Cluster
metadata: {name: $1, labels: {kind: foreign}}
spec:
  provider: kubernetes
  region: r1
  endpoints: [{url: "https://127.0.0.1:$2"}]
  caBundle: $(base64 -w0 "$K/ca.crt")
  credential: {secretRef: {name: $1, namespace: kube-system}}
---
END
}
{
    cluster k-token "${port[0]}" "$K/token"
    cluster k-cert "${port[2]}" "$K/cert"
} >"$K/clusters.yaml"
rctl get namespace kube-system >/dev/null 2>&1 || check "namespace" rctl create namespace kube-system
check "the clusters" rctl apply -f "$K/clusters.yaml"
reachable() { same True rctl get cluster "$1" -o 'jsonpath={.status.conditions[?(@.type=="Reachable")].status}'; }
eventually 30 "reached by token" reachable k-token
eventually 30 "reached by certificate" reachable k-cert

step "each has a node, as its kubelet would say"
for name in k-token k-cert; do
    cat <<END | check "node of $name" kubectl --kubeconfig "$K/$name.kubeconfig" create -f -
apiVersion: v1
kind: Node
metadata: {name: $name-node, labels: {topology.kubernetes.io/zone: $name-zone, topology.kubernetes.io/region: r1}}
END
    check "it is ready" rctl --kubeconfig "$K/$name.kubeconfig" patch node "$name-node" --subresource=status --type=merge -p \
        '{"status":{"capacity":{"cpu":"4","memory":"8Gi","pods":"110"},"allocatable":{"cpu":"4","memory":"8Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}'
    eventually 30 "the fleet counts it" same 1 rctl get cluster "$name" -o 'jsonpath={.status.readyNodes}'
done

step "a workload is divided over both"
cat >"$K/web.yaml" <<'END'
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {greeting: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: c, image: busybox, envFrom: [{configMapRef: {name: settings}}]}
---
apiVersion: fleet.rctl.io/v1alpha1
kind: Placement
metadata: {name: shop, namespace: shop}
spec:
  targets: [{apiVersion: apps/v1, kind: Deployment, name: shop}]
  clusters: {selector: {matchLabels: {kind: foreign}}}
  spread: [{by: cluster, maxSkew: 1}]
  replicas: {mode: Divide, prefer: Weighted}
END
check apply rctl apply -f "$K/web.yaml"
for name in k-token k-cert; do
    eventually 30 "half of it in $name" same 2 kubectl --kubeconfig "$K/$name.kubeconfig" -n shop get deployment shop -o 'jsonpath={.spec.replicas}'
    eventually 30 "and what it needs" same hello kubectl --kubeconfig "$K/$name.kubeconfig" -n shop get configmap settings -o 'jsonpath={.data.greeting}'
done

step "what the clusters say comes back"
for name in k-token k-cert; do
    check "status of $name" rctl --kubeconfig "$K/$name.kubeconfig" -n shop patch deployment shop --subresource=status --type=merge -p \
        '{"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2}}'
done
eventually 30 "four are ready in all" same 4 rctl get deployment shop -n shop -o 'jsonpath={.status.readyReplicas}'
check "drift" kubectl --kubeconfig "$K/k-cert.kubeconfig" -n shop scale deployment shop --replicas=7
eventually 30 "is repaired" same 2 kubectl --kubeconfig "$K/k-cert.kubeconfig" -n shop get deployment shop -o 'jsonpath={.spec.replicas}'

step "and goes"
check delete rctl delete -f "$K/web.yaml" --wait=false
for name in k-token k-cert; do
    gone() { ! kubectl --kubeconfig "$K/$1.kubeconfig" -n shop get deployment shop >/dev/null 2>&1; }
    eventually 30 "gone from $name" gone "$name"
done

step "nothing was asked that a Kubernetes API does not serve"
kill "${pids[@]}" # watches are logged when they end
for pid in "${pids[@]}"; do
    eventually 20 "the API server ends" bash -c "! kill -0 $pid 2>/dev/null"
done
for name in k-token k-cert; do
    asked=$(grep '"event":"request"' "$K/$name.log" | grep '"user":"fleet"' | sed 's/.*"path":"\([^"]*\)".*/\1/' | sort | uniq -c)
    [ "$(wc -l <<<"$asked")" -ge 5 ] || fail "the request log of $name has too little: $asked"
    echo "-- $name"
    echo "$asked"
    strange=$(awk '{print $2}' <<<"$asked" | grep -vE '^/(api/v1|apis/apps/v1|apis/batch/v1|apis/autoscaling/v[12]|apis/policy/v1|apis/networking.k8s.io/v1|apis/apiextensions.k8s.io/v1|version|readyz|livez|healthz)(/|$)' || true)
    [ -z "$strange" ] || fail "$name was asked: $strange"
done
echo "ok"
