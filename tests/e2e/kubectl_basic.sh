#!/bin/bash
# kubectl_basic.sh - the real kubectl against one resource-api: the verbs of the day over TLS with client certificates.
# Without an argument: all of it with the first kubectl of the machine on a resource-api, and beside it, on one
# resource-cluster-api, what differs by version with every kubectl: the oldest, the newest and the first "short", those
# between them "few".
# kubectl_basic.sh all|short|few KUBECTL: with that one on a server of its own ($API_PROGRAM).
set -euo pipefail
cd "$(dirname "$0")"
command -v kubectl >/dev/null || {
    echo "SKIPPED: no kubectl on this machine"
    exit 77
}
# shellcheck source=tests/e2e/kubectls.sh
. ./kubectls.sh
# shellcheck source=tests/e2e/api_server.sh
. ./api_server.sh

# run NAME COMMAND...: prints the last line, or everything when it fails
run() {
    local name=$1 rc=0 out
    shift
    out=$("$@" 2>&1) || rc=$?
    echo "=== $name:"
    if [ "$rc" = 0 ]; then tail -n 1 <<<"$out"; else echo "$out"; fi
    return "$rc"
}

# Every kubectl on one server, two at a time: they wait more than they work.
run_versions() {
    local failed=0 path how i=0 paths by_age
    api_start --cluster-name=c1 --agent-address=127.0.0.1:0
    mapfile -t paths < <(kubectls)
    mapfile -t by_age < <(for path in "${paths[@]}"; do echo "$(kubectl_version "$path") $path"; done | sort -V)
    for path in "${paths[@]}"; do
        how=few
        case $path in
        "${paths[0]}" | "${by_age[0]#* }" | "${by_age[-1]#* }") how=short ;;
        esac
        while [ "$i" -ge 2 ]; do
            wait -n || failed=1
            i=$((i - 1))
        done
        SERVER_DIR=$dir SERVER_PORT=$port run "$path ($(kubectl_version "$path")), $how" ./kubectl_basic.sh "$how" "$path" &
        i=$((i + 1))
    done
    for (( ; i > 0; i--)); do wait -n || failed=1; done
    api_stop
    exit "$failed"
}

if [ $# = 0 ]; then
    failed=0
    first=$(command -v kubectl)
    (API_PROGRAM=resource-cluster-api run_versions) &
    run "$first ($(kubectl_version "$first")), all" ./kubectl_basic.sh all "$first" || failed=1
    wait -n || failed=1
    exit "$failed"
fi
how=$1
only=$(mktemp -d)
ln -s "$(command -v "$2")" "$only/kubectl"
PATH=$only:$PATH
minor=$(kubectl_version kubectl)
minor=${minor#*.}
ns=shop$minor made=made$minor widget=widget$minor # others use the same server
if [ -n "${SERVER_DIR:-}" ]; then
    dir=$(mktemp -d) # with the certificates of the server
    cp "$SERVER_DIR"/*.crt "$SERVER_DIR"/*.key "$SERVER_DIR"/*.kubeconfig "$dir"
    port=$SERVER_PORT api_pid=
    sed -i "s#$SERVER_DIR#$dir#" "$dir"/*.kubeconfig
    export KUBECONFIG="$dir/admin.kubeconfig" HOME="$dir"
else
    api_start
fi
trap 'api_stop; rm -rf "$dir" "$only"' EXIT

passed=0
# ok WHAT COMMAND...: the command succeeds
ok() {
    local what=$1
    shift
    "$@" >"$dir/out" 2>&1 || {
        cat "$dir/out"
        die "$what: $*"
    }
    passed=$((passed + 1))
}
# has WHAT PATTERN COMMAND...: it succeeds and prints the pattern
has() {
    local what=$1 pattern=$2
    shift 2
    ok "$what" "$@"
    grep -qE -- "$pattern" "$dir/out" || {
        cat "$dir/out"
        die "$what: no \"$pattern\" from $*"
    }
}
# no WHAT PATTERN COMMAND...: it fails and says the pattern
no() {
    local what=$1 pattern=$2
    shift 2
    if "$@" >"$dir/out" 2>&1; then
        cat "$dir/out"
        die "$what: succeeded: $*"
    fi
    grep -qE -- "$pattern" "$dir/out" || {
        cat "$dir/out"
        die "$what: no \"$pattern\" from $*"
    }
    passed=$((passed + 1))
}

cat >"$dir/cm.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: demo}}
data: {color: red, size: "1"}
END
cat >"$dir/ns.yaml" <<END
apiVersion: v1
kind: Namespace
metadata: {name: $ns}
END
cat >"$dir/web.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: host, command: [sleep, "1"], env: [{name: A, value: "1"}]}
END
cat >"$dir/crd.yaml" <<END
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ${widget}s.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: ${widget}s, singular: $widget, kind: ${widget^}, shortNames: [wd$minor]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wanted of a widget.
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How large it is.}
              color: {type: string, default: red}
          status: {type: object, properties: {size: {type: integer}}}
END
cat >"$dir/widget.yaml" <<END
apiVersion: example.com/v1
kind: ${widget^}
metadata: {name: one}
spec: {size: 3}
END

if [ "$how" = all ]; then
    say "the program itself"
    has "--version" '^resource-api [0-9]' "$RCTL_BIN/resource-api" --version
    has "--help" '--listen-address=HOST:PORT' "$RCTL_BIN/resource-api" --help
    has "--man" '^.TH RESOURCE' "$RCTL_BIN/resource-api" --man
    rc=0
    "$RCTL_BIN/resource-api" --inflight-max=0 >"$dir/out" 2>&1 || rc=$?
    [ "$rc" = 2 ] || die "a wrong setting ended with $rc"
    rc=0
    "$RCTL_BIN/resource-api" --listen-address=127.0.0.1:0 --store="sqlite:$dir/no/such/dir/x.db" >"$dir/out" 2>&1 || rc=$?
    [ "$rc" = 1 ] || die "a store that cannot be opened ended with $rc"
    rc=0
    "$RCTL_BIN/resource-api" --listen-address=0.0.0.0:0 --store=memory: >"$dir/out" 2>&1 || rc=$?
    [ "$rc" = 1 ] && grep -q 'only loopback is served without' "$dir/out" || die "plain text on all addresses"
    kill -HUP "$api_pid"
    for _ in $(seq 100); do
        grep -q '"event":"reloaded"' "$dir/api.log" && break
        sleep 0.1
    done
    grep -q '"event":"reloaded"' "$dir/api.log" || die "SIGHUP was not taken"
fi

say "versions and discovery"
has "version" 'v1\.32' kubectl version
has "api-versions" '^apps/v1$' kubectl api-versions
has "api-resources" 'deployments +deploy +apps/v1 +true +Deployment' kubectl api-resources
has "raw" 'ok' kubectl get --raw /readyz
has "metrics" 'rctl_api_requests_total' kubectl get --raw /metrics
has "namespaces" 'kube-system +Active' kubectl get ns

say "create, get, label, annotate, patch, edit by replace"
has "create -f" "namespace/$ns created" kubectl create -f "$dir/ns.yaml"
has "create cm" 'configmap/settings created' kubectl -n "$ns" create -f "$dir/cm.yaml"
no "create again" 'AlreadyExists' kubectl -n "$ns" create -f "$dir/cm.yaml"
has "get table" '^NAME +DATA +AGE' kubectl -n "$ns" get cm
has "get wide" 'settings' kubectl -n "$ns" get cm -o wide --show-labels
has "get yaml" 'color: red' kubectl -n "$ns" get cm settings -o yaml
has "get jsonpath" '^red$' kubectl -n "$ns" get cm settings -o 'jsonpath={.data.color}'
has "get -A" "$ns +settings" kubectl get cm -A
has "get by label" 'settings' kubectl get cm -A -l app=demo -o name
has "get by field" 'settings' kubectl get cm -A --field-selector metadata.name=settings
has "chunks" 'settings' kubectl get cm -A --chunk-size=1
no "get nothing" 'configmaps "nope" not found' kubectl -n "$ns" get cm nope
has "label" 'labeled' kubectl -n "$ns" label cm settings tier=front
has "annotate" 'annotate' kubectl -n "$ns" annotate cm settings note=hello
has "merge patch" 'patched' kubectl -n "$ns" patch cm settings --type=merge -p '{"data":{"size":"2"}}'
has "json patch" 'patched' kubectl -n "$ns" patch cm settings --type=json -p '[{"op":"remove","path":"/data/size"}]'
has "strategic patch" 'patched' kubectl -n "$ns" patch cm settings -p '{"data":{"shape":"round"}}'
has "replace" 'replaced' kubectl -n "$ns" replace -f "$dir/cm.yaml"
has "describe" 'Name: +settings' kubectl -n "$ns" describe cm settings

say "what kubectl 1.32 and newer sends as protobuf"
has "create ns" "namespace/$made created" kubectl create ns "$made"
has "create cm" 'configmap/literal created' kubectl -n "$made" create cm literal --from-literal=a=b
has "its data" '^b$' kubectl -n "$made" get cm literal -o 'jsonpath={.data.a}'
has "create secret" 'secret/hidden created' kubectl -n "$made" create secret generic hidden --from-literal=a=b
has "its bytes" '^Yg==$' kubectl -n "$made" get secret hidden -o 'jsonpath={.data.a}'
has "create sa" 'serviceaccount/robot created' kubectl -n "$made" create sa robot
has "create deploy" 'deployment.apps/none created' kubectl -n "$made" create deploy none --image=host --replicas=0 -- sleep 1
has "no replicas, defaults" '^0 RollingUpdate 25%$' kubectl -n "$made" get deploy none \
    -o 'jsonpath={.spec.replicas} {.spec.strategy.type} {.spec.strategy.rollingUpdate.maxSurge}'
has "dry run" 'created \(server dry run\)' kubectl -n "$made" create deploy dry --image=host --dry-run=server
no "it was not kept" 'not found' kubectl -n "$made" get deploy dry
kubectl api-resources >"$dir/resources"
serves() { grep -q "^$1 " "$dir/resources"; }
# before there is a quota that wants limits
if serves pods; then
    ok "run" kubectl -n "$made" run one --image=host --command -- sleep 1
    no "exec" 'NotImplemented' kubectl -n "$made" exec one -- true
    no "attach" 'NotImplemented' kubectl -n "$made" attach one
fi
if serves jobs; then
    has "create job" 'job.batch/once created' kubectl -n "$made" create job once --image=host -- true
fi
if serves services; then
    has "create svc" 'service/front created' kubectl -n "$made" create svc clusterip front --tcp=80:8080
    has "its port" '^80 8080$' kubectl -n "$made" get svc front -o 'jsonpath={.spec.ports[0].port} {.spec.ports[0].targetPort}'
fi
if serves resourcequotas; then
    has "create quota" 'resourcequota/few created' kubectl -n "$made" create quota few --hard=pods=3,cpu=1500m
    has "its quantity" '^1500m$' kubectl -n "$made" get quota few -o 'jsonpath={.spec.hard.cpu}'
fi
if serves poddisruptionbudgets && [ "$minor" -ge 21 ]; then # before, it asks for a beta version
    has "create pdb" 'poddisruptionbudget.policy/keep created' kubectl -n "$made" create pdb keep --selector=app=none --min-available=50%
fi
has "can-i" '^yes$' kubectl auth can-i create deployments -n "$made"
no "can-i as another" '^no' kubectl auth can-i delete pods -n "$made" --as=nobody
[ "$minor" -lt 28 ] || # asks for a beta version
    has "whoami" 'admin' kubectl auth whoami
ok "delete them" kubectl delete ns "$made" --timeout=60s

say "apply, client side and server side"
has "apply" 'deployment.apps/web created' kubectl -n "$ns" apply -f "$dir/web.yaml"
has "apply again" 'unchanged' kubectl -n "$ns" apply -f "$dir/web.yaml"
sed -i 's/value: "1"/value: "2"/; s/replicas: 2/replicas: 3/' "$dir/web.yaml"
has "diff" 'value: "2"' bash -c "kubectl -n $ns diff -f $dir/web.yaml; [ \$? = 1 ]"
has "apply changed" 'configured' kubectl -n "$ns" apply -f "$dir/web.yaml"
has "apply dry" 'server dry run' kubectl -n "$ns" apply --dry-run=server -f "$dir/web.yaml"
has "get deploy" 'web +0/3' kubectl -n "$ns" get deploy
has "apply --server-side" 'serverside-applied' kubectl -n "$ns" apply --server-side -f "$dir/web.yaml"
has "apply --server-side new" 'serverside-applied' kubectl -n "$ns" apply --server-side --field-manager=me -f "$dir/cm.yaml" --force-conflicts
sed 's/color: red/color: blue/' "$dir/cm.yaml" >"$dir/cm2.yaml"
no "conflict" 'conflicts? with "me"' kubectl -n "$ns" apply --server-side --field-manager=other -f "$dir/cm2.yaml"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved}\ndata: {a: "1", b: "2"}\n' >"$dir/moved.yaml"
ok "client side first" kubectl -n "$ns" apply -f "$dir/moved.yaml"
sed -i 's/, b: "2"//; s/a: "1"/a: "3"/' "$dir/moved.yaml"
has "then server side, without force" 'serverside-applied' kubectl -n "$ns" apply --server-side -f "$dir/moved.yaml"
if [ "$minor" -ge 26 ]; then # moves the ownership by a patch of managedFields
    has "what left the file is gone" '^{"a":"3"}$' kubectl -n "$ns" get cm moved -o 'jsonpath={.data}'
fi
has "and client side again" 'unchanged|configured' kubectl -n "$ns" apply -f "$dir/moved.yaml"
no "strict" 'unknown field "(spec\.)?replica"' bash -c "sed 's/replicas:/replica:/' $dir/web.yaml | kubectl -n $ns apply -f -"
no "invalid" 'is invalid' bash -c "sed 's/replicas: 3/replicas: -3/' $dir/web.yaml | kubectl -n $ns apply -f -"

if [ "$how" = few ]; then
    ok "delete ns" kubectl delete ns "$ns" --timeout=60s
    echo "$passed commands passed"
    exit
fi

say "scale, set, rollout"
has "scale" 'scaled' kubectl -n "$ns" scale deploy/web --replicas=4
has "scaled" '^4$' kubectl -n "$ns" get deploy web -o 'jsonpath={.spec.replicas}'
has "set env" 'env updated' kubectl -n "$ns" set env deploy/web B=2
has "set image" 'image updated' kubectl -n "$ns" set image deploy/web main=other
has "rollout restart" 'restarted' kubectl -n "$ns" rollout restart deploy/web
generation=$(kubectl -n "$ns" get deploy web -o 'jsonpath={.metadata.generation}')
status="{\"status\":{\"observedGeneration\":$generation,\"replicas\":4,\"updatedReplicas\":4,\"readyReplicas\":4,\"availableReplicas\":4,
    \"conditions\":[{\"type\":\"Available\",\"status\":\"True\"}]}}"
if [ "$minor" -ge 24 ]; then
    has "status subresource" 'patched' kubectl -n "$ns" patch deploy web --subresource=status --type=merge -p "$status"
else # has no --subresource
    ok "status subresource" curl -fsSk --cert "$dir/admin.crt" --key "$dir/admin.key" -X PATCH \
        -H 'Content-Type: application/merge-patch+json' -d "$status" \
        "https://127.0.0.1:$port/apis/apps/v1/namespaces/$ns/deployments/web/status"
fi
has "generation stays" "^$generation\$" kubectl -n "$ns" get deploy web -o 'jsonpath={.metadata.generation}'
has "rollout status" 'successfully rolled out' kubectl -n "$ns" rollout status deploy/web --timeout=20s
has "wait" 'condition met' kubectl -n "$ns" wait deploy/web --for=condition=Available --timeout=20s
has "describe deploy" 'Replicas: +4 desired' kubectl -n "$ns" describe deploy web
has "explain" 'Containers|containers' kubectl explain deployment.spec.template.spec
has "get all" 'web +4/4' kubectl -n "$ns" get all

say "watch"
kubectl -n "$ns" get cm -w >"$dir/watch.out" 2>&1 &
watch_pid=$!
kubectl -n "$ns" get cm settings -w -o 'jsonpath={.data.color}{"\n"}' >"$dir/watch2.out" 2>&1 &
watch2_pid=$!
sleep 2
ok "change" kubectl -n "$ns" patch cm settings --type=merge -p '{"data":{"color":"green"}}'
ok "another" kubectl -n "$ns" create -f - <<'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"later"}}
END
for _ in $(seq 100); do
    grep -q later "$dir/watch.out" && grep -q green "$dir/watch2.out" && break
    sleep 0.1
done
grep -q later "$dir/watch.out" || die "get -w: $(cat "$dir/watch.out")"
grep -q green "$dir/watch2.out" || die "get -w -o jsonpath: $(cat "$dir/watch2.out")"
kill "$watch_pid" "$watch2_pid"
wait "$watch_pid" "$watch2_pid" 2>/dev/null || true

say "events"
ok "event" kubectl -n "$ns" create -f - <<END
{"apiVersion":"v1","kind":"Event","metadata":{"name":"e1"},"involvedObject":{"kind":"Deployment","namespace":"$ns","name":"web","apiVersion":"apps/v1"},
 "reason":"Scaled","message":"to 4","type":"Normal","firstTimestamp":"2024-01-01T00:00:00Z","lastTimestamp":"2024-01-01T00:00:00Z","count":1}
END
if [ "$minor" -ge 23 ]; then # "kubectl alpha events" before 1.26
    alpha=
    [ "$minor" -ge 26 ] || alpha=alpha
    has "events" 'Scaled' kubectl $alpha -n "$ns" events
    has "events for" 'Scaled' kubectl $alpha -n "$ns" events --for deployment/web
fi
has "get events" '^LAST SEEN +TYPE +REASON' kubectl -n "$ns" get events

say "custom resources"
has "create crd" 'created' kubectl create -f "$dir/crd.yaml"
has "create cr at once" "$widget.example.com/one created" kubectl -n "$ns" create -f "$dir/widget.yaml"
has "cr table" 'one +3' kubectl -n "$ns" get "${widget}s"
has "cr short name" 'one' kubectl -n "$ns" get "wd$minor"
has "cr default" '^red$' kubectl -n "$ns" get "wd$minor" one -o 'jsonpath={.spec.color}'
has "cr apply" 'configured' kubectl -n "$ns" apply -f "$dir/widget.yaml"
has "cr server-side" 'serverside-applied' kubectl -n "$ns" apply --server-side --force-conflicts -f "$dir/widget.yaml"
has "cr scale" 'scaled' kubectl -n "$ns" scale "wd$minor/one" --replicas=7
has "cr explain" 'How large it is' kubectl explain "$widget.spec"
no "cr invalid" 'spec.size' bash -c "sed 's/size: 3/size: 0/; s/one/two/' $dir/widget.yaml | kubectl -n $ns create -f -"
no "cr unknown field" 'unknown field' bash -c "sed 's/size: 3/size: 3, x: 1/; s/one/two/' $dir/widget.yaml | kubectl -n $ns create -f -"
has "crd wait" 'condition met' kubectl wait --for=condition=Established crd/"${widget}s".example.com --timeout=10s
has "crd delete" 'deleted' kubectl delete crd "${widget}s".example.com --timeout=30s
no "cr gone" "the server doesn't have a resource type|NotFound|not find the requested" kubectl -n "$ns" get "${widget}s"

if [ "$how" = all ]; then
    say "roles"
    has "viewer reads" 'settings' kubectl --kubeconfig "$dir/viewer.kubeconfig" -n "$ns" get cm
    no "viewer writes" "User \"viewer\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"$ns\"" \
        kubectl --kubeconfig "$dir/viewer.kubeconfig" -n "$ns" delete cm settings
    no "viewer secrets" 'Forbidden' kubectl --kubeconfig "$dir/viewer.kubeconfig" -n "$ns" get secrets
    no "node" 'Forbidden' kubectl --kubeconfig "$dir/node.kubeconfig" -n "$ns" get cm
    has "impersonate" 'settings' kubectl --as jane --as-group rctl:viewers -n "$ns" get cm
    no "impersonate plain" 'User "jane" cannot list' kubectl --as jane -n "$ns" get cm
    [ "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/api/v1/namespaces")" = 401 ] || die "anonymous was let in"
fi

if [ "$how" = all ]; then
    say "stop with a watch open, restart on the same data"
    kubectl -n "$ns" get cm -w >"$dir/watch.out" 2>&1 &
    watch_pid=$!
    for _ in $(seq 100); do
        grep -q settings "$dir/watch.out" && break
        sleep 0.1
    done
    api_stop
    wait "$watch_pid" || die "the watch did not end cleanly: $(cat "$dir/watch.out")"
    api_run
    has "still there" 'web +4/4' kubectl -n "$ns" get deploy
fi

say "delete"
has "delete" 'deleted' kubectl -n "$ns" delete cm later --timeout=20s
has "delete by label" 'deleted' kubectl -n "$ns" delete deploy -l app=web --timeout=20s
[ "$minor" -lt 24 ] || # takes what is gone already for an error
    ok "wait for delete" kubectl wait --for=delete cm/later -n "$ns" --timeout=10s
has "delete ns" 'deleted' kubectl delete ns "$ns" --timeout=60s
no "gone" "namespaces \"$ns\" not found" kubectl get ns "$ns"

if [ -n "$api_pid" ]; then
    api_stop
    grep -q '"event":"stopped"' "$dir/api.log" || die "no graceful stop"
fi
echo "$passed commands passed"
