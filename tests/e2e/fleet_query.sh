#!/bin/bash
# fleet_query.sh - Prometheus' HTTP API of the global server: one query over the clusters of two regions, a viewer asks by POST,
# a cluster that does not answer is left out within bounded time and named.

# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

fleet_up --regions 2 --clusters 1 --nodes 1
pki=$FLEET/pki
server=$(awk '/server:/ { print $NF; exit }' "$KUBECONFIG")

# ask PATH NAME=VALUE…: the answer of the global API
ask() {
    local path=$1 x params=()
    shift
    for x in "$@"; do params+=(--data-urlencode "$x"); done
    curl -sS --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" -G "${params[@]}" "$server/api/v1/$path"
}
says() { # says TEXT PATH NAME=VALUE…
    local want=$1
    shift
    local got
    got=$(ask "$@")
    [[ $got == *"$want"* ]] || {
        echo "expected ...$want..., got ${got:0:600}" >&2
        return 1
    }
}
silent() { ! says "$@" 2>/dev/null >&2; }

step "one answer over two regions"
eventually 60 "both clusters are there" says ',"2"]' query 'query=count(node_load1)'
check "no warning" silent '"warnings"' query 'query=count(node_load1)'
check "by region" says '"metric":{"region":"r2"}' query 'query=sum(node_load1)by(region)'
check "series carry both labels" says '"cluster":"r1c1"' query 'query=node_load1{region="r1"}'
check "an average over all" says ',"1"]' query 'query=avg(node_load1)/(sum(node_load1)/count(node_load1))'
check "counts of both, one divided by the other" says ',"1"]' query 'query=count(node_load1)by(node)/on(node)count(node_load5)by(node)'
check "an absence" says '"result":[]' query 'query=absent(node_load1{region="r2"})'
check "what nobody has is absent" says '{"job":"x"}' query 'query=absent(nothing{job="x"})'
now=$(date +%s)
check "a range" says '"resultType":"matrix"' query_range 'query=sum(node_load1)' start=$((now - 60)) end=$now step=15
check "names of labels" says '"cluster"' labels
check "values of a label" says '["r1c1","r2c1"]' label/cluster/values
check "series" says '"region":"r2"' series 'match[]=node_load1'
check "metadata" says '"node_load1":' metadata metric=node_load1
check "a wrong query" says '"errorType":"bad_data"' query 'query=sum('
check "a form" bash -c "curl -sS --cacert $pki/ca.crt --cert $pki/admin.crt --key $pki/admin.key --data-urlencode 'query=count(node_load1)' $server/api/v1/query | grep -q ',\"2\"'"

check "alerts" says '"alerts":[' alerts
check "rules" says '"groups":[' rules
check "who makes the most series" bash -c "kubectl --context r1c1 get --raw /api/v1/status/tsdb?limit=3 | grep -q '\"seriesCountByMetricName\":\[{'"

step "a cluster that does not answer"
pid=$(daemon_pid r2c1-api)
kill -STOP "$pid"
AT_EXIT=("kill -CONT $pid" "${AT_EXIT[@]}")
from=$SECONDS
check "the other one is in the answer" says ',"1"]' query 'query=count(node_load1)'
check "the answer says what it lacks" says 'cluster r2c1 is left out' query 'query=count(node_load1)'
check "values of the others" says '["r1c1"]' label/cluster/values
[ $((SECONDS - from)) -lt 60 ] || fail "three partial answers took $((SECONDS - from)) s"
kill -CONT "$pid"
eventually 30 "both again" says ',"2"]' query 'query=count(node_load1)'
echo ok
