#!/bin/bash
# kubectl_admission.sh - the real kubectl against one resource-api: definitions, rules, rights, limits, tokens.
set -euo pipefail
cd "$(dirname "$0")"
command -v kubectl >/dev/null || {
    echo "SKIPPED: no kubectl on this machine"
    exit 77
}
# shellcheck source=tests/e2e/api_server.sh
. ./api_server.sh
# STORE=postgres: both servers on a PostgreSQL server of their own, each in its schema.
if [ "${STORE:-sqlite}" = postgres ]; then
    pg=$(mktemp -d)/pg
    chmod 755 "$(dirname "$pg")"
    rc=0
    url=$(../../scripts/pg-private start "$pg") || rc=$?
    [ "$rc" != 77 ] || {
        echo "SKIPPED: no PostgreSQL server on this machine"
        exit 77
    }
    [ "$rc" = 0 ] || exit 1
    # shellcheck disable=SC2034
    API_STORE=$url
fi
api_start
cluster_store=sqlite:$dir/cluster.db
if [ -n "${pg:-}" ]; then
    cluster_store="$url&schema=cluster"
    [[ $url == *\?* ]] || cluster_store="$url?schema=cluster"
    trap 'api_stop; ../../scripts/pg-private stop "$pg" >/dev/null 2>&1 || true; rm -rf "$dir" "$(dirname "$pg")"' EXIT
fi
minor=$(kubectl version --client -o json | sed -n 's/.*"gitVersion": "v1\.\([0-9]*\).*/\1/p')

passed=0
# has WHAT PATTERN COMMAND...: it succeeds and prints the pattern
has() {
    local what=$1 pattern=$2
    shift 2
    "$@" >"$dir/out" 2>&1 || {
        cat "$dir/out"
        die "$what: $*"
    }
    grep -qE -- "$pattern" "$dir/out" || {
        cat "$dir/out"
        die "$what: no \"$pattern\" from $*"
    }
    passed=$((passed + 1))
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
# soon WHAT PATTERN COMMAND...: it prints the pattern within 15 s
soon() {
    local what=$1 pattern=$2
    shift 2
    for _ in $(seq 75); do
        "$@" >"$dir/out" 2>&1 || true
        if grep -qE -- "$pattern" "$dir/out"; then
            passed=$((passed + 1))
            return 0
        fi
        sleep 0.2
    done
    cat "$dir/out"
    die "$what: no \"$pattern\" from $*"
}

crd() { # crd PLURAL KIND SHORT [SPEC-PROPERTIES]
    cat <<END
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: $1.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: $1, singular: ${2,,}, kind: $2, shortNames: [$3]}
  versions:
  - name: v2
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    selectableFields: [{jsonPath: .spec.color}]
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
              color: {type: string, default: red}
              port: {x-kubernetes-int-or-string: true}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              names: {type: array, items: {type: string}, x-kubernetes-list-type: set}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [key]
                items: {type: object, required: [key], properties: {key: {type: string}, value: {type: string}}}
              ${4:-other: {type: string\}}
          status: {type: object, properties: {size: {type: integer}}}
  - name: v1
    served: true
    storage: false
    schema: *schema
END
}

say "definitions: several versions, lists, names, watches"
crd widgets Widget wd | has "create" created kubectl create -f -
cat >"$dir/one.yaml" <<'END'
apiVersion: example.com/v1
kind: Widget
metadata: {name: one}
spec: {size: 3, port: http, free: {a: {b: 1}}, names: [a, b], parts: [{key: x, value: "1"}]}
END
has "usable at once, in the version that is not stored" created kubectl create -f "$dir/one.yaml"
has "read in both versions" 'example.com/v2' kubectl get widgets.v2.example.com one -o 'jsonpath={.apiVersion}'
has "read in both versions" 'example.com/v1' kubectl get widgets.v1.example.com one -o 'jsonpath={.apiVersion}'
has "default" '^red$' kubectl get wd one -o 'jsonpath={.spec.color}'
has "column" 'one +3' kubectl get wd
has "selectable field" 'widget.example.com/one' kubectl get wd --field-selector spec.color=red -o name
no "set" 'spec.names\[1\]: Duplicate value: "a"' kubectl patch wd one --type=merge -p '{"spec":{"names":["a","a"]}}'
no "map list" 'Duplicate value' kubectl patch wd one --type=merge -p '{"spec":{"parts":[{"key":"x"},{"key":"x"}]}}'
no "int or string" 'spec.port' kubectl patch wd one --type=merge -p '{"spec":{"port":true}}'
has "scale" scaled kubectl scale wd/one --replicas=5
crd gadgets Widget gd | has "a clashing definition is stored" created kubectl create -f -
has "and says why it is not served" 'KindConflict|ListKindConflict' \
    kubectl get crd gadgets.example.com -o 'jsonpath={.status.conditions[?(@.type=="NamesAccepted")].reason}'
has "the first one is served on" 'one +5' kubectl get wd
no "a stored version cannot go" 'status.storedVersions\[0\]: Invalid value: "v2": must appear in spec.versions' \
    kubectl patch crd widgets.example.com --type=json \
    -p '[{"op":"remove","path":"/spec/versions/0"},{"op":"replace","path":"/spec/versions/0/storage","value":true}]'
(
    kubectl get wd -w >"$dir/watch.out" 2>&1
    echo ended >>"$dir/watch.out"
) &
watch_pid=$!
soon "the watch is there" 'one' cat "$dir/watch.out"
has "delete with its objects" deleted kubectl delete crd widgets.example.com --timeout=30s
soon "the watch ends" '^ended$' cat "$dir/watch.out"
wait "$watch_pid" || true
soon "the other one gets the names" True \
    kubectl get crd gadgets.example.com -o 'jsonpath={.status.conditions[?(@.type=="Established")].status}'
has "and starts without objects" 'No resources found' kubectl get gadgets # an old client does not look anew for a short name

say "rules in CEL"
cat >"$dir/rules.yaml" <<'END'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: pools, singular: pool, kind: Pool}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-validations:
        - {rule: "self.metadata.name.startsWith('p')", message: "name must start with p"}
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: "self.min <= self.max", messageExpression: "'min %d is above max %d'.format([self.min, self.max])", fieldPath: .min}
            - {rule: "!has(oldSelf.zone) || has(self.zone)", message: "zone may not be taken away", reason: FieldValueForbidden}
            properties:
              min: {type: integer}
              max: {type: integer}
              zone: {type: string, x-kubernetes-validations: [{rule: "self == oldSelf", message: "zone is immutable"}]}
              names: {type: array, items: {type: string}, x-kubernetes-validations: [{rule: "self.all(n, n.matches('^[a-z]+$'))"}]}
END
has "create" created kubectl create -f "$dir/rules.yaml"
no "a wrong rule" 'compilation failed.*undeclared reference' bash -c "sed 's/self.min <=/selv.min <=/; s/pools/tools/; s/pool,/tool,/; s/Pool/Tool/' $dir/rules.yaml | kubectl create -f -"
pool() { printf '{"apiVersion":"example.com/v1","kind":"Pool","metadata":{"name":"%s"},"spec":%s}' "$1" "$2"; }
pool p1 '{"min":1,"max":2,"zone":"a","names":["x"]}' | has "what keeps them" created kubectl create -f -
pool q1 '{"min":1,"max":2}' | no "message" 'Invalid value: "object": name must start with p' kubectl create -f -
pool p2 '{"min":3,"max":2}' | no "messageExpression, fieldPath" 'spec.min: Invalid value: "object": min 3 is above max 2' kubectl create -f -
pool p2 '{"min":1,"max":2,"names":["A"]}' | no "the rule itself" 'spec.names: Invalid value: "array": failed rule: self.all' kubectl create -f -
no "transition" 'spec.zone: Invalid value: "string": zone is immutable' kubectl patch pool p1 --type=merge -p '{"spec":{"zone":"b"}}'
no "reason" 'spec: Forbidden: zone may not be taken away' kubectl patch pool p1 --type=merge -p '{"spec":{"zone":null}}'
has "others may change" patched kubectl patch pool p1 --type=merge -p '{"spec":{"max":9}}'

say "roles and bindings"
cert jane /O=devs/CN=jane
cert boss /O=ops/CN=boss
kubeconfig jane
kubeconfig boss
jane() { kubectl --kubeconfig "$dir/jane.kubeconfig" "$@"; }
boss() { kubectl --kubeconfig "$dir/boss.kubeconfig" "$@"; }
cat >"$dir/rbac.yaml" <<'END'
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: team, name: reader}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: team, name: devs-read}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: Group, name: devs, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: team, name: boss-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: User, name: boss, apiGroup: rbac.authorization.k8s.io}]
END
has "default roles" '^cluster-admin' kubectl get clusterroles
soon "rules of Prometheus, too" 'prometheusrules' kubectl get clusterrole view -o 'jsonpath={.rules}'
soon "aggregation" 'deployments' kubectl get clusterrole admin -o 'jsonpath={.rules}'
no "deny by default" 'User "jane" cannot list resource "configmaps" in API group "" in the namespace "team"' jane -n team get cm
has "apply" 'rolebinding.rbac.authorization.k8s.io/devs-read created' kubectl apply -f "$dir/rbac.yaml"
has "read in the namespace" 'No resources found' jane -n team get cm
no "nowhere else" forbidden jane -n default get cm
no "no write" 'cannot create' jane -n team create --validate=false -f - <<'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}
END
no "only the named secret" 'cannot get resource "secrets"' jane -n team get secret two
no "the named secret may be asked for" 'secrets "one" not found' jane -n team get secret one
no "no watch of others" forbidden jane -n team get secret --watch
has "admin writes" created boss -n team create --validate=false -f - <<'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}
END
has "admin grants what it holds" created boss -n team create --validate=false -f - <<'END'
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"more"},
 "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"},
 "subjects":[{"kind":"User","name":"kim","apiGroup":"rbac.authorization.k8s.io"}]}
END
no "admin does not grant more" 'attempting to grant RBAC permissions not currently held' boss -n team create --validate=false -f - <<'END'
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"all"},
 "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},
 "subjects":[{"kind":"User","name":"boss","apiGroup":"rbac.authorization.k8s.io"}]}
END
no "nor by a role" 'not currently held' boss -n team create --validate=false -f - <<'END'
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"all"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}
END
no "nor by changing one" 'not currently held' boss -n team patch role reader --type=json \
    -p '[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}}]'
no "roleRef stays" 'cannot change roleRef' kubectl -n team patch rolebinding devs-read --type=merge -p '{"roleRef":{"name":"other"}}'
no "no impersonation" 'cannot impersonate' boss --as admin get ns
can() { # can KUBECONFIG VERB GROUP RESOURCE NS
    printf '{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"%s","group":"%s","resource":"%s","namespace":"%s"}}}' "$2" "$3" "$4" "$5" |
        kubectl --kubeconfig "$dir/$1.kubeconfig" create --validate=false -o 'jsonpath={.status.allowed}' -f -
}
has "can-i" '^true$' can jane list "" configmaps team
has "can-i not" '^false$' can jane list "" configmaps default
has "can-i of another" '^true$' kubectl create -o 'jsonpath={.status.allowed}' -f - <<'END'
{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"x","groups":["devs"],"resourceAttributes":{"verb":"get","resource":"configmaps","namespace":"team"}}}
END
has "rules" '"configmaps"' jane create --validate=false -o json -f - <<'END'
{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"team"}}
END
has "auth can-i --list" 'configmaps' jane auth can-i --list -n team
has "taken away" deleted kubectl -n team delete rolebinding devs-read
no "at once" forbidden jane -n team get cm

say "quotas"
kubectl create ns small >/dev/null
has "quota" created kubectl -n small create -f - <<'END'
{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q"},"spec":{"hard":{"configmaps":"5","count/widgets.example.com":"1"}}}
END
cert many /O=system:masters/CN=many
# Forty creates at once, five of which may pass.
for i in $(seq 40); do
    printf 'url = "https://127.0.0.1:%s/api/v1/namespaces/small/configmaps"\n' "$port"
    printf 'data = {\\"metadata\\":{\\"name\\":\\"c%s\\"}}\nheader = Content-Type: application/json\n' "$i"
    printf 'silent\ninsecure\ncert = %s\nkey = %s\noutput = /dev/null\nwrite-out = %%{http_code}\\n\nnext\n' "$dir/many.crt" "$dir/many.key"
done | sed 's/^data = \(.*\)$/data = "\1"/; s/^header = \(.*\)$/header = "\1"/; s/^write-out = \(.*\)$/write-out = "\1"/; $d' >"$dir/curl.conf"
curl --parallel --parallel-max 20 -K "$dir/curl.conf" >"$dir/codes" 2>/dev/null || true
has "exactly as many as fit" '^5$' grep -c '^201' "$dir/codes"
has "the rest is told" '^35$' grep -c '^403' "$dir/codes"
has "status" '^5$' kubectl -n small get quota q -o 'jsonpath={.status.used.configmaps}'
no "one more" 'exceeded quota: q, requested: configmaps=1, used: configmaps=5, limited: configmaps=5' kubectl -n small create -f - <<'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}
END
has "make room" deleted kubectl -n small delete cm --all
soon "status follows" '^0$' kubectl -n small get quota q -o 'jsonpath={.status.used.configmaps}'
has "room again" created kubectl -n small create -f - <<'END'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}
END

say "a cluster's server: limits, priorities"
api_stop
API_PROGRAM=resource-cluster-api API_STORE=$cluster_store api_run --cluster-name=c1 --agent-address=127.0.0.1:0
run_pod() { # run_pod NAME [SPEC]
    printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"containers":[{"name":"c","image":"host"%s}]%s}}' \
        "$1" "${3:-}" "${2:-}" | kubectl -n bounds create -f -
}
has "namespace" created kubectl create ns bounds
has "priority class" 'priorityclass.scheduling.k8s.io/high created' kubectl create priorityclass high --value=1000 --description=first
has "those that are always there" '^system-node-critical +2000001000' kubectl get pc
no "priorities have a bound" 'maximum allowed value of a user defined priority is 1000000000' kubectl create priorityclass top --value=1000000001
has "pod of a class" created run_pod high ',"priorityClassName":"high"'
has "its priority" '^1000 PreemptLowerPriority$' kubectl -n bounds get pod high -o 'jsonpath={.spec.priority} {.spec.preemptionPolicy}'
no "no such class" 'pods "x" is forbidden: no PriorityClass with name low was found' run_pod x ',"priorityClassName":"low"'
has "limit range" created kubectl -n bounds create -f - <<'END'
apiVersion: v1
kind: LimitRange
metadata: {name: l}
spec:
  limits:
  - {type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 100m}, max: {cpu: "1"}}
END
has "defaults" created run_pod filled
has "as it said" '^100m 500m$' kubectl -n bounds get pod filled -o 'jsonpath={.spec.containers[0].resources.requests.cpu} {.spec.containers[0].resources.limits.cpu}'
no "max" 'maximum cpu usage per Container is 1, but limit is 2' run_pod x "" ',"resources":{"limits":{"cpu":"2"}}'
has "described" 'Container +cpu +- +1 +100m +500m' kubectl -n bounds describe limitrange l
has "create quota" 'resourcequota/q created' kubectl -n bounds create quota q --hard=requests.cpu=500m --scopes=NotTerminating
soon "what is there counts" '^100m$' kubectl -n bounds get quota q -o 'jsonpath={.status.used.requests\.cpu}'
no "more than is left" 'exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=100m, limited: requests.cpu=500m' \
    run_pod x "" ',"resources":{"requests":{"cpu":"600m"},"limits":{"cpu":"1"}}'
has "another scope" created run_pod ends ',"activeDeadlineSeconds":60' ',"resources":{"requests":{"cpu":"600m"},"limits":{"cpu":"1"}}'
has "delete" deleted kubectl -n bounds delete pod filled --now
soon "given back" '^0$' kubectl -n bounds get quota q -o 'jsonpath={.status.used.requests\.cpu}'

say "disruption budgets, drain"
cert controller /O=system:controllers/CN=controller
kubeconfig controller
"$RCTL_BIN/resource-cluster-controller" --kubeconfig="$dir/controller.kubeconfig" --node-grace=1h --health-address=127.0.0.1:0 \
    --log-level=warn 2>"$dir/controller.log" &
controller_pid=$!
for i in 1 2 3; do
    printf '{"apiVersion":"v1","kind":"Node","metadata":{"name":"n%s"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}\n' "$i" |
        kubectl create -f - >/dev/null
done
kubectl create ns budget >/dev/null
ready_pod() { # ready_pod NAME NODE
    printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{"app":"db"}},"spec":{"nodeName":"%s","terminationGracePeriodSeconds":0,
        "containers":[{"name":"c","image":"host"}]}}' "$1" "$2" | kubectl -n budget create -f - >/dev/null
    curl -sk --cert "$dir/admin.crt" --key "$dir/admin.key" -X PATCH -H 'Content-Type: application/merge-patch+json' -o "$dir/out" --fail \
        "https://127.0.0.1:$port/api/v1/namespaces/budget/pods/$1/status" \
        -d '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2024-01-01T00:00:00Z"}]}}'
}
for i in 1 2 3; do ready_pod "db$i" "n$i"; done
if [ "$minor" -lt 21 ]; then # asks for a beta version
    printf '{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"db"},"spec":{"minAvailable":2,"selector":{"matchLabels":{"app":"db"}}}}' |
        has "pdb" 'poddisruptionbudget.policy/db created' kubectl -n budget create -f -
else
    has "create pdb" 'poddisruptionbudget.policy/db created' kubectl -n budget create pdb db --selector=app=db --min-available=2
fi
soon "its status" '^1 3 2 3 SufficientPods$' kubectl -n budget get pdb db \
    -o 'jsonpath={.status.disruptionsAllowed} {.status.currentHealthy} {.status.desiredHealthy} {.status.expectedPods} {.status.conditions[0].reason}'
has "its column" 'db +2 +N/A +1|db +2 +(<none>)? +1' kubectl -n budget get pdb
has "drain what the budget grants" 'node/n1 (drained|evicted)' kubectl drain n1 --force --timeout=20s
soon "none left" '^0 2$' kubectl -n budget get pdb db -o 'jsonpath={.status.disruptionsAllowed} {.status.currentHealthy}'
no "drain waits and gives up" "will retry after 5s\\): Cannot evict pod as it would violate the pod's disruption budget" \
    kubectl drain n2 --force --timeout=2s
has "the pod is still there" Running kubectl -n budget get pod db2 -o 'jsonpath={.status.phase}'
(sleep 1 && ready_pod db4 n3) &
has "drain goes on when another is ready" 'node/n2 (drained|evicted)' kubectl drain n2 --force --timeout=20s
no "the pod went" 'not found' kubectl -n budget get pod db2
kill "$controller_pid"
wait "$controller_pid" || true

api_stop
echo "$passed checks passed"
