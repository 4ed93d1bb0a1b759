#!/bin/bash
# backup.sh - docs/how-to/back-up-and-restore.md for real: back up, lose the databases, restore; everything runs on.
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
apis=(global-api r1c1-api)

stop_apis() {
    for a in "${apis[@]}"; do kill -"$1" "$(daemon_pid "$a")"; done
    eventually 20 "the API servers end" apis_gone
}
apis_gone() { ! rctl dev status --dir "$FLEET" -o json | tr -d '\n ' | grep -qE '"name":"(global|r1c1)-api",[^}]*"pid":[1-9]'; }

back_up() {
    mkdir -p "$WORK/backup"
    if [ "$store" = postgres ]; then
        for s in global r1c1; do pg_dump -Fc -d "$url" --schema=$s -f "$WORK/backup/$s.dump"; done
        return
    fi
    stop_apis TERM
    cp -p "$FLEET"/data/global.db* "$FLEET"/data/r1c1.db* "$WORK/backup/"
    check "start again" rctl dev up --dir "$FLEET"
}

destroy() {
    stop_apis KILL
    if [ "$store" = postgres ]; then
        for s in global r1c1; do psql -q -d "$url" -c "DROP SCHEMA $s CASCADE" 2>/dev/null; done
    else
        rm "$FLEET"/data/global.db* "$FLEET"/data/r1c1.db*
    fi
}

restore() {
    if [ "$store" = postgres ]; then
        for s in global r1c1; do
            pg_restore -d "$url" "$WORK/backup/$s.dump"
            psql -q -d "$url" -c "UPDATE $s.meta SET tl = 0"
        done
    else
        cp "$WORK"/backup/* "$FLEET/data/"
    fi
    check "start again" rctl dev up --dir "$FLEET"
}

# the port that each process listens on since it began
ports() { rctl logs deployment/web --clusters -n web | sed -n 's/.*listening on //p' | sort | tr '\n' ' '; }
pods() { rctl get pods --context r1c1 -n web -o 'jsonpath={range .items[*]}{.metadata.uid}{" "}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
revision() { rctl --context "$1" get cm "$2" -o 'jsonpath={.metadata.resourceVersion}'; }

step "a fleet with work ($store)"
fleet_up --regions 1 --clusters 1 --nodes 1 "${flags[@]}"
global=$(rctl config current-context)
check "apply" rctl apply -f "$RCTL_SRC/manifests/examples/web.yaml"
check "scale" rctl scale deployment/web -n web --replicas=2
eventually 60 "two run" same 2 rctl get deployment web -n web -o 'jsonpath={.status.readyReplicas}'

step "back up"
back_up
eventually 60 "it answers" rctl get deployment web -n web

step "what comes later is lost, and its revisions are spent"
for c in "$global" r1c1; do check "late" rctl --context "$c" create configmap late --from-literal=a=b; done
spent_global=$(revision "$global" late)
spent_r1c1=$(revision r1c1 late)
eventually 30 "two run" same 2 rctl get deployment web -n web -o 'jsonpath={.status.readyReplicas}'
pods_before=$(pods)
ports_before=$(ports)

step "lose both databases, restore them"
destroy
restore
eventually 60 "it answers" rctl get deployment web -n web
eventually 60 "the cluster answers" rctl --context r1c1 get deployment web -n web

step "everything runs on"
for c in "$global" r1c1; do
    eventually 5 "late is gone from $c" bash -c "! rctl --context '$c' get cm late"
    spent=spent_$c
    [ "$c" = "$global" ] && spent=spent_global
    check "a write" rctl --context "$c" create configmap after --from-literal=a=b
    [ "$(revision "$c" after)" -gt "${!spent}" ] || fail "$c used a revision twice: $(revision "$c" after), ${!spent}"
    out=$(rctl --context "$c" get --raw "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=${!spent}&timeoutSeconds=2" 2>&1 || true)
    grep -q 410 <<<"$out" || grep -qi expired <<<"$out" || fail "$c goes on from a revision that was lost: $out"
done
[ "$(pods)" = "$pods_before" ] || fail "the pods are others: $(pods), before: $pods_before"
[ "$(ports)" = "$ports_before" ] || fail "the processes are others: $(ports), before: $ports_before"
check "scale" rctl scale deployment/web -n web --replicas=3
eventually 60 "three run" same 3 rctl get deployment web -n web -o 'jsonpath={.status.readyReplicas}'
echo "restored on $store: ${ports_before:-no} ran on"
