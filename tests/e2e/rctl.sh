#!/bin/bash
# rctl.sh - rctl's own verbs against one resource-api: plan, history, undo, why, sets, columns, edits, errors with lines.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/e2e/api_server.sh
. ./api_server.sh
# STORE=postgres: the server's store is on a PostgreSQL server of its own.
if [ "${STORE:-sqlite}" = postgres ]; then
    pg=$(mktemp -d)/pg
    chmod 755 "$(dirname "$pg")"
    rc=0
    API_STORE=$(../../scripts/pg-private start "$pg") || rc=$?
    [ "$rc" != 77 ] || {
        echo "SKIPPED: no PostgreSQL server on this machine"
        exit 77
    }
    [ "$rc" = 0 ] || exit 1
fi
api_start
[ -z "${pg:-}" ] ||
    trap 'api_stop; ../../scripts/pg-private stop "$pg" >/dev/null 2>&1 || true; rm -rf "$dir" "$(dirname "$pg")"' EXIT
PATH=$RCTL_BIN:$PATH
export EDITOR

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
# no WHAT STATUS PATTERN COMMAND...: it fails with that status and says the pattern
no() {
    local what=$1 status=$2 pattern=$3 rc=0
    shift 3
    "$@" >"$dir/out" 2>&1 || rc=$?
    [ "$rc" = "$status" ] && grep -qE -- "$pattern" "$dir/out" || {
        cat "$dir/out"
        die "$what: status $rc, not $status and \"$pattern\", from $*"
    }
    passed=$((passed + 1))
}
# is WHAT EXPECTED COMMAND...: it prints exactly that
is() {
    local what=$1 want=$2 got
    shift 2
    got=$("$@" 2>"$dir/out") || die "$what: $*: $(cat "$dir/out")"
    [ "$got" = "$want" ] || die "$what: expected \"$want\", got \"$got\""
    passed=$((passed + 1))
}
rv() { rctl get "$1" -o jsonpath='{.metadata.resourceVersion}'; }

cat >"$dir/set.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {color: red}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two, labels: {app: demo}}
data: {count: "10"}
END
cat >"$dir/web.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host}]}
END

say "apply says what it did, and errors where"
has "created" 'configmap/one created' rctl apply -f "$dir/set.yaml"
has "unchanged" 'configmap/two unchanged' rctl apply -f "$dir/set.yaml"
mkdir -p "$dir/folder/deep"
cp "$dir/web.yaml" "$dir/folder/deep/web.yml"
no "folders are not walked" 1 'no objects in what -f names' rctl apply -f "$dir/folder"
has "-R" 'deployment.apps/web created' rctl apply -R -f "$dir/folder"
has "stdin" 'unchanged' bash -c "cat '$dir/web.yaml' | rctl apply -f -"
sed 's/red/[1]/' "$dir/set.yaml" >"$dir/bad.yaml"
no "line of a field" 1 'bad.yaml:4: .*expected string' rctl apply -f "$dir/bad.yaml"
printf 'kind: ConfigMap\na: [\n' >"$dir/bad.yaml"
no "line of YAML" 1 'bad.yaml:[23]: ' rctl apply -f "$dir/bad.yaml"
no "wrong flag" 2 'unknown flag --nope' rctl get cm --nope
no "wrong type" 1 'api-resources' rctl get nonsense
no "not found" 1 'configmaps "x" not found' rctl get cm x
has "ignored" '^$' bash -c 'rctl get cm x --ignore-not-found; echo'

say "columns, order, formats"
has "custom columns" '^two +<none>' rctl get cm one two -o custom-columns=N:.metadata.name,C:.data.color
is "what lacks the field comes first" "configmap/two
configmap/one" rctl get cm one two --sort-by=.data.color -o name
has "several types" '^configmap/one' rctl get cm,deployments
is "names" "configmap/two" rctl get cm -l app=demo -o name
[ -z "$(rctl get cm one -o yaml | grep managedFields)" ] || die "managed fields are shown"
has "managed fields" 'managedFields' rctl get cm one -o yaml --show-managed-fields
has "no colours without a terminal" 'NAME' rctl get cm
! grep -q $'\033' "$dir/out" || die "colours in a pipe"

say "plan, and apply of exactly that"
sed -i 's/red/blue/' "$dir/set.yaml"
has "plan" '~ configmap/one is changed' rctl plan -f "$dir/set.yaml"
grep -q 'data.color: red -> blue' "$dir/out" || die "plan does not say the change: $(cat "$dir/out")"
hash=$(sed -n 's/^Plan \([0-9a-f]*\):.*/\1/p' "$dir/out")
is "a plan changes nothing" red rctl get cm one -o 'jsonpath={.data.color}'
has "meanwhile" patched rctl patch cm two --type=merge -p '{"data":{"other":"1"}}'
no "apply of an old plan" 1 "the plan is now [0-9a-f]+, not $hash" rctl apply --plan "$hash" -f "$dir/set.yaml"
is "and nothing of it was applied" red rctl get cm one -o 'jsonpath={.data.color}'
hash=$(rctl plan -f "$dir/set.yaml" | sed -n 's/^Plan \([0-9a-f]*\):.*/\1/p')
has "apply of the plan" 'configmap/one configured' rctl apply --plan "$hash" -f "$dir/set.yaml"
has "nothing left" '0 to create, 0 to change' rctl plan -f "$dir/set.yaml"

say "all or none"
cat >"$dir/all.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: together, namespace: team}
data: {v: "1"}
---
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {tier: front}}
END
has "dry run" 'configmap/together created .server dry run' rctl apply --atomic --dry-run=server -f "$dir/all.yaml"
no "and nothing is there" 1 'not found' rctl get ns team
has "a set" 'applied as one: revisions [0-9]+ to [0-9]+' rctl apply --atomic -f "$dir/all.yaml"
has "a set again" 'nothing to change' rctl apply --atomic -f "$dir/all.yaml"
sed 's/v: "1"/v: "2"/; s/tier: front/"a b": front/' "$dir/all.yaml" >"$dir/none.yaml"
no "a bad label" 1 'none.yaml:[68]: .*metadata.labels' rctl apply --atomic -f "$dir/none.yaml"
grep -q 'nothing was applied: 1 of 2 documents' "$dir/out" || die "not said: $(cat "$dir/out")"
is "the good one is not applied" 1 rctl get cm together -n team -o 'jsonpath={.data.v}'
sed 's/v: "1"/v: "3"/' "$dir/all.yaml" >"$dir/three.yaml"
hash=$(rctl plan -f "$dir/three.yaml" | sed -n 's/^Plan \([0-9a-f]*\):.*/\1/p')
has "a plan as one" 'configmap/together configured' rctl apply --atomic --plan "$hash" -f "$dir/three.yaml"
no "viewer" 1 'nothing was applied: 2 of 2' rctl --kubeconfig "$dir/viewer.kubeconfig" apply --atomic -f "$dir/all.yaml"

say "history, get --at, undo"
before=$(rv cm/one)
has "a change" patched rctl patch cm one --type=merge -p '{"data":{"color":"green"}}'
after=$(rv cm/one)
has "history" "^$after .*data.color: blue -> green" rctl history cm/one
is "get --at" blue rctl get cm one --at "$before" -o 'jsonpath={.data.color}'
is "a list at a revision" "blue" rctl get cm --at "$before" -o 'jsonpath={.items[?(@.metadata.name=="one")].data.color}'
has "a table at a revision" '^one' rctl get cm --at "$before"
no "in the future" 1 'lies in the future' rctl get cm one --at 999999999
no "no time" 2 'is a revision' rctl get cm one --at yesterday
has "at a time" 'color: green' rctl get cm one --at 0s -o yaml
has "undo of a revision" "before revision $after" rctl undo "$after"
is "undone" blue rctl get cm one -o 'jsonpath={.data.color}'
has "a change" patched rctl patch cm one --type=merge -p '{"data":{"color":"black"}}'
no "undo below later changes" 1 'was changed again' rctl undo cm/one --to-revision="$after"
has "undo of the last" 'before revision' rctl undo cm/one
is "undone" blue rctl get cm one -o 'jsonpath={.data.color}'
has "delete" deleted rctl delete cm two
has "undo of a deletion" 'before revision' rctl undo cm/two
is "it is back" 10 rctl get cm two -o 'jsonpath={.data.count}'
no "viewer" 1 'cannot' rctl --kubeconfig "$dir/viewer.kubeconfig" undo cm/two
no "secrets of the past" 1 'cannot get' rctl --kubeconfig "$dir/viewer.kubeconfig" history secret/x

say "why"
has "a workload" 'deployment.apps/web wants 2 replicas, has 0' rctl why deploy/web
has "without conditions" 'configmap/one is there' rctl why cm/one

say "sets"
has "first" 'created' rctl apply --applyset demo -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}' >"$dir/b.json"
has "without prune nothing goes" 'configmap/b created' rctl apply --applyset demo -f "$dir/b.json"
is "a is still there" configmap/a rctl get cm a -o name
has "prune" 'configmap/a pruned' rctl apply --applyset demo --prune -f "$dir/b.json"
no "a is gone" 1 'not found' rctl get cm a
has "others are left" 'one' rctl get cm
no "prune without a set" 2 'needs --applyset' rctl apply --prune -f "$dir/b.json"
has "b anew, by somebody else" deleted rctl delete cm b
has "b anew" created rctl create configmap b --from-literal=x=y
printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}' >"$dir/c.json"
has "another uid" 'configmap/c created' rctl apply --applyset demo --prune -f "$dir/c.json"
is "is not the set's" y rctl get cm b -o 'jsonpath={.data.x}'

say "edit, patch, label, explain, auth, config"
printf '#!/bin/sh\nsed -i "s/x: .*/x: z/" "$1"\n' >"$dir/editor"
chmod +x "$dir/editor"
EDITOR=$dir/editor has "edit" edited rctl edit cm b
is "edited" z rctl get cm b -o 'jsonpath={.data.x}'
EDITOR=true has "no change" 'no changes made' rctl edit cm b
has "json patch" patched rctl patch cm b --type=json -p '[{"op":"remove","path":"/data/x"}]'
has "label by selector" 'configmap/two labeled' rctl label cm -l app=demo tier=x
no "label there already" 1 'overwrite' rctl label cm two tier=y
has "dry run" 'server dry run' rctl label cm two more=x --dry-run=server
has "explain" 'replicas.*<integer>' rctl explain deployment.spec
no "explain" 1 'does not exist' rctl explain deployment.spec.nope
has "can-i" yes rctl auth can-i delete cm
no "can-i" 1 '^no' rctl --kubeconfig "$dir/viewer.kubeconfig" auth can-i delete cm
has "whoami" viewer rctl --kubeconfig "$dir/viewer.kubeconfig" auth whoami
has "api-versions" '^apps/v1$' rctl api-versions
has "raw" ok rctl get --raw=/readyz
has "view" 'current-context' rctl config view
! grep -qE 'PRIVATE|client-key-data: [A-Za-z0-9+/=]{40}' "$dir/out" || die "config view shows keys"

say "describe, warnings, times"
has "a secret's sizes" created rctl create secret generic hidden --from-literal=password=12345
has "a secret's sizes" '^password: +5 bytes' rctl describe secret hidden
has "data" '^color:$' rctl describe cm one
has "a workload" '^Replicas: +2 desired \| 0 updated' rctl describe deploy web
has "a namespace" 'No resource quota' rctl describe ns default
has "any other kind" '^Kind: +ClusterRole' rctl describe clusterrole view
has "a warning" '^Warning: unknown field "nope"' rctl patch cm one --type=merge -p '{"nope":1}'
no "two times" 2 'only one of' rctl logs x --since=1s --since-time=2026-01-01T00:00:00Z
no "no time" 2 'is a time such as' rctl logs x --since-time=noon

say "the server is away"
api_stop
no "away" 1 'onnect' rctl get cm
echo "$passed commands passed"
