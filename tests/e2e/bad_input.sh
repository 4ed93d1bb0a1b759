#!/bin/bash
# bad_input.sh - what must not come through: malformed, oversized and hostile input, foreign certificates, nodes that
# reach for others' objects, clients that are slow or too many. Each gets a clear answer; the server's memory stays
# bounded and what was stored before is there afterwards.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/e2e/api_server.sh
. ./api_server.sh
PATH=$RCTL_BIN:$PATH
api_start

# The window of events that watchers may resume in holds 64 MiB; bodies and queues under way come on top.
RSS_MB_MAX=200
memory=1000000
if grep -q __asan_init "$RCTL_BIN/rctl"; then # shadow memory, and what is freed is kept for a while
    RSS_MB_MAX=1500 memory=unlimited
fi
passed=0
pass() { passed=$((passed + 1)); }

as() { # as USER PATH CURL-ARGS...: the body and, last on a line of its own, the status
    local user=$1 path=$2
    shift 2
    curl -sS --path-as-is -m 30 --cacert "$dir/ca.crt" --cert "$dir/$user.crt" --key "$dir/$user.key" \
        -w '\n%{http_code}\n' "$@" "https://127.0.0.1:$port$path" 2>&1 || true
}

# answers STATUS PATTERN USER PATH CURL-ARGS...
answers() {
    local status=$1 pattern=$2 got
    shift 2
    got=$(as "$@")
    [ "$(tail -n 1 <<<"$got")" = "$status" ] || die "$*: expected $status, got: ${got:0:600}"
    grep -qE -- "$pattern" <<<"$got" || die "$*: no \"$pattern\" in: ${got:0:600}"
    pass
}

# post STATUS PATTERN TYPE PATH < BODY
post() {
    local type=$3 path=$4
    answers "$1" "$2" admin "$path" -X POST -H "Content-Type: $type" --data-binary @-
}

# no PATTERN COMMAND...: it fails within bounded memory and says the pattern
no() {
    local pattern=$1
    shift
    if (ulimit -v $memory; exec timeout 30 "$@") >"$dir/out" 2>&1; then
        die "succeeded: $*"
    fi
    grep -qE -- "$pattern" "$dir/out" || die "no \"$pattern\" from $*: $(head -c 600 "$dir/out")"
    pass
}

rss_mb() { awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$api_pid/status"; }
bounded() {
    local mb
    mb=$(rss_mb)
    [ "$mb" -lt "$RSS_MB_MAX" ] || die "$1: the server has $mb MB resident"
    echo "    resident after $1: $mb MB"
}

metric() { as admin /metrics | sed -n "s/^$1 //p"; }
fill() { head -c "$1" /dev/zero | tr '\0' "$2"; }

configmaps=/api/v1/namespaces/default/configmaps
deployments=/apis/apps/v1/namespaces/default/deployments
json=application/json
yaml=application/yaml

say "what is there before, and must be there afterwards"
for i in 1 2 3; do
    post 201 "keep-$i" $json $configmaps <<<"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"keep-$i\"},\"data\":{\"n\":\"$i\"}}"
done
echo "    resident at the start: $(rss_mb) MB"

say "malformed and oversized bodies"
post 400 'line 2 column 1: unexpected end' $json $configmaps <<<'{"a":'
post 400 'line 2' $yaml $configmaps <<<$'a: [1\nb: }'
post 400 'must be an object' $json $configmaps <<<'[1]'
post 400 'unexpected end of input' $json $configmaps </dev/null
post 400 'invalid UTF-8' $json $configmaps < <(printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"\xff"}}')
post 415 'accepted media types include: application/json' text/plain $configmaps <<<x
post 400 'cannot be read' $json $configmaps < <(head -c 65536 /dev/urandom)
post 400 'cannot be read' $yaml $configmaps < <(head -c 65536 /dev/urandom)
post 413 'too large' $json $configmaps < <(fill 4000000 a)
answers 413 'too large' admin $configmaps --http1.1 -X POST -H "Content-Type: $json" \
    -H 'Transfer-Encoding: chunked' --data-binary @- < <(fill 4000000 a)
post 413 'nested deeper than 100' $json $configmaps < <(fill 1000000 '[')
post 413 'nested deeper than 100' $yaml $configmaps < <(fill 1000000 '[')
post 413 'nested deeper than 100' $json $configmaps < <(for _ in $(seq 50000); do printf '{"a":'; done)
{
    echo 'a: &a [x,x,x,x,x,x,x,x,x]'
    last=a
    for k in b c d e f g h i; do
        echo "$k: &$k [*$last,*$last,*$last,*$last,*$last,*$last,*$last,*$last,*$last]"
        last=$k
    done
} >"$dir/bomb.yaml"
post 413 'aliases expand to too much' $yaml $configmaps <"$dir/bomb.yaml"
# each copy doubles the object
answers 413 'too (many|large|much)|more than' admin $configmaps/keep-1 -X PATCH -H 'Content-Type: application/json-patch+json' --data-binary @- < <(
    printf '[{"op":"add","path":"/data/b","value":"x"}'
    for i in $(seq 200); do printf ',{"op":"copy","from":"/metadata","path":"/metadata/a%d"}' "$i"; done
    echo ']'
)
bounded "oversized bodies"

say "the same through rctl"
(
    printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {x: "'
    fill 3200000 a
    echo '"}'
) >"$dir/big.yaml"
fill 1000000 '[' >"$dir/deep.yaml"
fill 1000000 '[' >"$dir/deep.json"
head -c 65536 /dev/urandom >"$dir/random.yaml"
printf 'a: 1\n---\nkind: [\n' >"$dir/broken.yaml"
printf 'apiVersion: v1\nkind: Nope\nmetadata: {name: a}\n' >"$dir/kind.yaml"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typed}\ndata: {x: 5}\n' >"$dir/typed.yaml"
no 'bomb.yaml.*aliases expand to too much' rctl apply -f "$dir/bomb.yaml"
no 'big.yaml.*the limit is 3145728' rctl apply -f "$dir/big.yaml"
no 'deep.yaml.*nested deeper than 100' rctl apply -f "$dir/deep.yaml"
no 'deep.json.*nested deeper than 100' rctl apply -f "$dir/deep.json"
no 'random.yaml' rctl apply -f "$dir/random.yaml"
no 'broken.yaml.*line [34]' rctl apply -f "$dir/broken.yaml"
no 'kind.yaml:1.*no kind "Nope"' rctl apply -f "$dir/kind.yaml"
no 'typed.yaml:4.*data.x: expected string' rctl apply -f "$dir/typed.yaml"
no 'No such file' rctl apply -f "$dir/none.yaml"
no 'unknown flag' rctl apply --bogus

say "unknown fields: Strict, Warn, Ignore; wrong types; wrong names"
unknown() {
    echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"$1\",\"labelz\":{}},\"dat\":{\"a\":\"b\"}}"
}
post 400 'unknown field \\"metadata.labelz\\", unknown field \\"dat\\"' $json "$configmaps?fieldValidation=Strict" < <(unknown strict)
answers 404 'not found' admin $configmaps/strict
answers 201 'warning: 299 - "unknown field' admin "$configmaps?fieldValidation=Warn" -D- -X POST \
    -H "Content-Type: $json" --data-binary @- < <(unknown warn)
post 201 '"ignore"' $json "$configmaps?fieldValidation=Ignore" < <(unknown ignore)
post 422 'supported values' $json "$configmaps?fieldValidation=Other" < <(unknown other)
printf '%s' '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice","name":"twice"}}' >"$dir/twice.json"
post 400 'duplicate field \\"metadata.name\\"' $json "$configmaps?fieldValidation=Strict" <"$dir/twice.json"
post 422 'spec.replicas in body must be of type integer.*command in body must be of type array' $json $deployments <<'END'
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":"three","selector":{"matchLabels":{"a":"b"}},
 "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"m","image":"host","command":"x"}]}}}}
END
post 400 'Pod in version .* cannot be handled as a ConfigMap' $json $configmaps <<<'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}'
post 400 'namespace of the provided object does not match' $json $configmaps <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}'
post 422 'RFC 1123' $json $configmaps <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"A/../b"}}'
post 422 'name or generateName is required' $json $configmaps <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}'

say "bad requests"
for q in limit=-1 limit=x resourceVersion=abc 'labelSelector=(((' 'fieldSelector=spec.foo%3Dx' continue=garbage \
    'watch=1&timeoutSeconds=-5' 'watch=1&resourceVersion=99999999999999999999' \
    'labelSelector=a%20b%20c'; do
    answers 400 '"reason":"BadRequest"' admin "$configmaps?$q"
done
answers 422 'resourceVersionMatch: Unsupported value' admin "$configmaps?resourceVersionMatch=Bar&resourceVersion=1"
answers 504 'Too large resource version: 99999999' admin "$configmaps?resourceVersion=99999999"
answers 400 'escaped / or NUL' admin "$configmaps/%2e%2e%2fsecrets%00"
answers 404 'NotFound' admin "$configmaps/../secrets"
answers 405 'MethodNotAllowed' admin /api/v1/namespaces -X TRACE
answers 415 'accepted media types include' admin $configmaps/keep-1 -X PATCH -H 'Content-Type: application/x' -d '{}'
answers 400 'unexpected kind of operation' admin $configmaps/keep-1 -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{"op":"boom"}]'
answers 431 'headers are too large' admin /api/v1/namespaces --http1.1 -H "X-A: $(fill 100000 a)"
# shellcheck disable=SC2046
answers 431 'headers are too large' admin /api/v1/namespaces $(seq -f '-HX-%g:1' 500)
as admin /api/v1/namespaces -H "X-A: $(fill 100000 a)" | grep -qE '431|HTTP/2|stream|000' || die "giant header on HTTP/2"

say "requests on which two parsers could disagree"
raw() { # raw STATUS REQUEST: over TLS, as it is
    local got
    got=$(printf '%b' "$2" | timeout 10 openssl s_client -quiet -connect "127.0.0.1:$port" -cert "$dir/admin.crt" -key "$dir/admin.key" \
        -alpn http/1.1 2>/dev/null | head -n 1 || true)
    [[ $got == "HTTP/1.1 $1"* ]] || die "raw request $2: expected $1, got \"$got\""
    pass
}
raw 400 'GET /api HTTP/1.1\r\nHost : a\r\n\r\n'
raw 400 'GET /api HTTP/1.1\r\n\r\n'
raw 400 'GET /api HTTP/1.1\nHost: a\n\n'
raw 400 'POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
raw 400 'POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'
raw 400 'GET /api HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n'
raw 400 '\x00\x01\x02\x03garbage\r\n\r\n'

say "conflicting applies name the manager"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {x: "1"}\n' >"$dir/shared.yaml"
rctl apply -f "$dir/shared.yaml" --field-manager=alice >/dev/null
sed -i 's/"1"/"2"/' "$dir/shared.yaml"
no 'shared.yaml:4: data.x: conflict with "alice"' rctl apply -f "$dir/shared.yaml" --field-manager=bob
answers 409 'conflict with \\"alice\\": .data.x' admin "$configmaps/shared?fieldManager=carol" -X PATCH \
    -H 'Content-Type: application/apply-patch+yaml' --data-binary "@$dir/shared.yaml"
answers 200 '"x":"1"' admin "$configmaps/shared"

say "certificates: none, expired, foreign"
[ "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port$configmaps")" = 401 ] || die "no certificate"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/expired.key" -out "$dir/expired.csr" \
    -subj /O=system:masters/CN=expired 2>/dev/null
openssl x509 -req -in "$dir/expired.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 0 -out "$dir/expired.crt" 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/foreign.key" -out "$dir/foreign.crt" \
    -subj /O=system:masters/CN=foreign -days 2 2>/dev/null
sleep 1.1
for u in expired foreign; do kubeconfig $u; done
no 'certificate expired' curl -sS --cacert "$dir/ca.crt" --cert "$dir/expired.crt" --key "$dir/expired.key" "https://127.0.0.1:$port/api"
no 'unknown ca|bad certificate|decrypt error' curl -sS --cacert "$dir/ca.crt" --cert "$dir/foreign.crt" --key "$dir/foreign.key" "https://127.0.0.1:$port/api"
no 'certificate expired' rctl get namespaces --kubeconfig "$dir/expired.kubeconfig"
no 'unknown ca|bad certificate|decrypt error' rctl get namespaces --kubeconfig "$dir/foreign.kubeconfig"
sed "s|$dir/ca.crt|$dir/foreign.crt|" "$KUBECONFIG" >"$dir/wrongca.kubeconfig"
no 'certificate' rctl get namespaces --kubeconfig "$dir/wrongca.kubeconfig"

bounded "bad requests"

say "a node's certificate reaches for another node's objects"
api_stop
API_PROGRAM=resource-cluster-api API_STORE=sqlite:$dir/cluster.db api_run --cluster-name=c1 --agent-address=127.0.0.1:0
for n in 1 2; do
    post 201 "n$n" $json /api/v1/nodes <<<"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n$n\"}}"
    post 201 "s$n" $json /api/v1/namespaces/default/secrets <<<"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s$n\"},\"stringData\":{\"k\":\"secret-of-n$n\"}}"
    post 201 "p$n" $json /api/v1/namespaces/default/pods <<END
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p$n"},"spec":{"nodeName":"n$n","volumes":[{"name":"v","secret":{"secretName":"s$n"}}],
 "containers":[{"name":"m","image":"host","command":["sleep","1"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}
END
done
merge=(-X PATCH -H 'Content-Type: application/merge-patch+json')
answers 200 'p1' node /api/v1/namespaces/default/pods/p1
answers 200 's1' node /api/v1/namespaces/default/secrets/s1
answers 200 'Running' node /api/v1/namespaces/default/pods/p1/status "${merge[@]}" -d '{"status":{"phase":"Running"}}'
while read -r path; do
    answers 403 '"reason":"Forbidden"' node "$path"
done <<'END'
/api/v1/namespaces/default/secrets/s2
/api/v1/namespaces/default/secrets
/api/v1/secrets?watch=1
/api/v1/namespaces/default/pods/p2
/api/v1/namespaces/default/pods
/api/v1/pods?fieldSelector=spec.nodeName%3Dn2
/api/v1/namespaces/default/configmaps/keep-1
/api/v1/nodes/n2
/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2
END
answers 403 Forbidden node /api/v1/namespaces/default/pods/p2/status "${merge[@]}" -d '{"status":{"phase":"Failed"}}'
answers 403 Forbidden node /api/v1/nodes/n2/status "${merge[@]}" -d '{"status":{}}'
answers 403 Forbidden node /api/v1/namespaces/default/pods/p1 "${merge[@]}" -d '{"metadata":{"labels":{"a":"b"}}}'
answers 403 Forbidden node /api/v1/namespaces/default/secrets -X POST -H "Content-Type: $json" -d '{}'
answers 403 Forbidden node /api/v1/namespaces/default/pods/p1 -X DELETE -H 'Impersonate-User: admin' -H 'Impersonate-Group: system:masters'
grep -q secret-of-n2 <<<"$(as node /api/v1/secrets)" && die "the node read a secret"
bounded "a node's requests"

say "slow clients"
api_stop
api_run --connections-max=150 --watches-max=20 --watch-queue-bytes-max=1Mi --header-timeout=3s --body-timeout=3s
start_mb=$(rss_mb)
# connections that never finish their handshake, and some whose request never ends
raw_fds=()
for _ in $(seq 60); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$port"
    raw_fds+=("$fd")
done
loris=()
for _ in $(seq 10); do
    (
        printf 'GET /api HTTP/1.1\r\nHost: a\r\nX: '
        for _ in $(seq 60); do sleep 0.5 && printf a; done
    ) | openssl s_client -quiet -connect "127.0.0.1:$port" -cert "$dir/admin.crt" -key "$dir/admin.key" -alpn http/1.1 >"$dir/loris" 2>/dev/null &
    loris+=($!)
done
answers 200 keep-1 admin $configmaps/keep-1
closed=0
for fd in "${raw_fds[@]}"; do
    # the end of the connection is read as end of file, at most a few seconds behind the handshake's 10
    if IFS= read -r -t 20 -n 1 -u "$fd" || [ $? -le 128 ]; then closed=$((closed + 1)); fi
    exec {fd}>&-
done
[ "$closed" = 60 ] || die "only $closed of 60 silent connections were closed"
for pid in "${loris[@]}"; do
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    kill -0 "$pid" 2>/dev/null && die "a request that never ends was not cut"
done
grep -q '^HTTP/1.1 408' "$dir/loris" || die "no 408 for a request that does not end"
for protocol in --http1.1 --http2; do
    sleep 30 | answers 408 'the body did not come in time' admin $configmaps $protocol -X POST -H "Content-Type: $json" -T - &
    slow_body=$!
    wait "$slow_body" || die "no 408 for a body that does not come ($protocol)"
    pass
done
bounded "slow requests (began with $start_mb MB)"

say "a watcher that does not read"
mkfifo "$dir/stuck"
sleep 600 <"$dir/stuck" &
stuck=$!
curl -sSN --http1.1 --cacert "$dir/ca.crt" --cert "$dir/admin.crt" --key "$dir/admin.key" \
    "https://127.0.0.1:$port$configmaps?watch=1" >"$dir/stuck" 2>/dev/null &
reader=$!
curl -sSN --http1.1 --cacert "$dir/ca.crt" --cert "$dir/admin.crt" --key "$dir/admin.key" \
    "https://127.0.0.1:$port$configmaps?watch=1" >"$dir/healthy" 2>/dev/null &
healthy=$!
for _ in $(seq 100); do
    [ "$(metric rctl_api_watches)" = 2 ] && break
    sleep 0.1
done
payload=$(fill 500000 x)
for i in $(seq 200); do
    printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"large"},"data":{"n":"%d","x":"%s"}}' "$i" "$payload" >"$dir/large.json"
    as admin "$configmaps/large?fieldManager=load&force=true" -X PATCH -H 'Content-Type: application/apply-patch+yaml' \
        --data-binary "@$dir/large.json" | tail -n 1 | grep -q '^20[01]' || die "a write failed while a watcher is stuck"
done
for _ in $(seq 100); do
    [ "$(metric rctl_api_watches)" = 1 ] && break
    sleep 0.1
done
[ "$(metric rctl_api_watches)" = 1 ] || die "the stuck watcher was not cut: $(metric rctl_api_watches)"
for _ in $(seq 100); do
    grep -q '"n":"200"' "$dir/healthy" && break
    sleep 0.1
done
[ "$(grep -c '"name":"large"' "$dir/healthy")" = 200 ] || die "the watcher that reads missed events"
kill "$reader" "$healthy" "$stuck"
wait "$reader" "$healthy" "$stuck" 2>/dev/null || true
bounded "100 MB of events past a stuck watcher"

say "too many watches, too many connections"
watchers=()
for _ in $(seq 20); do
    curl -sSN --cacert "$dir/ca.crt" --cert "$dir/admin.crt" --key "$dir/admin.key" \
        "https://127.0.0.1:$port$configmaps?watch=1&fieldSelector=metadata.name%3Dnone" >/dev/null 2>&1 &
    watchers+=($!)
done
for _ in $(seq 100); do
    [ "$(metric rctl_api_watches)" = 20 ] && break
    sleep 0.1
done
answers 429 'TooManyRequests' admin "$configmaps?watch=1"
answers 200 keep-1 admin $configmaps/keep-1
kill "${watchers[@]}"
wait "${watchers[@]}" 2>/dev/null || true
raw_fds=()
for _ in $(seq 200); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$port"
    raw_fds+=("$fd")
done
as admin $configmaps/keep-1 | tail -n 1 | grep -q 200 && die "150 connections are allowed, the 201st was served"
for fd in "${raw_fds[@]}"; do exec {fd}>&-; done
for _ in $(seq 100); do
    as admin $configmaps/keep-1 | tail -n 1 | grep -q 200 && break
    sleep 0.1
done
answers 200 keep-1 admin $configmaps/keep-1
bounded "too many clients"

say "floods of HTTP/2 frames, readers that open no window"
api_stop
cat >"$dir/tokens" <<'END'
sesame,admin,1,"system:masters"
node-n1,system:node:n1,2,"system:nodes"
END
flood() { perl ./h2_flood.pl "$port" "$1" sesame; }
(
    # plain TCP: nothing but the frames themselves is in the way
    trap - EXIT
    mkdir "$dir/flood"
    "$RCTL_BIN/resource-api" --listen-address=127.0.0.1:0 --store="sqlite:$dir/flood/api.db" --token-auth-file="$dir/tokens" \
        --answers-bytes-max=16Mi --write-timeout=3s 2>"$dir/flood/log" &
    api_pid=$!
    trap 'kill $api_pid' EXIT
    plain() { curl -sS -m 30 -w '%{http_code}' -H 'Authorization: Bearer sesame' "$@" "http://127.0.0.1:$port$configmaps"; }
    for _ in $(seq 300); do
        port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$dir/flood/log")
        [ -n "$port" ] && [ "$(curl -s "http://127.0.0.1:$port/readyz")" = ok ] && break
        sleep 0.1
    done
    for kind in settings ping reset continuation; do
        flood $kind | grep -q '^closed' || die "a flood of $kind was taken"
        plain -o /dev/null | grep -q 200 || die "no answer after a flood of $kind"
    done
    for kind in bomb priority window data unknown streams; do
        flood $kind >/dev/null
        plain -o /dev/null | grep -q 200 || die "no answer after a flood of $kind"
    done
    bounded "floods"
    payload=$(fill 100000 x)
    for i in $(seq 100); do
        echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c$i\"},\"data\":{\"x\":\"$payload\"}}" |
            plain -o /dev/null -H "Content-Type: $json" --data-binary @- | grep -q 201 || die "no object $i"
    done
    # 200 answers of 10 MB each, none of which is read: as they are stored, and as copies
    for accept in $json 'application/json;as=Table;g=meta.k8s.io;v=v1'; do
        sleep 4 | ACCEPT=$accept flood "slow=$configmaps?includeObject=Object" >/dev/null &
        sleep 2
        bounded "lists that nobody reads ($accept)"
        plain | grep -q '"c100"' || die "no list while others do not read"
        wait $!
    done
)
passed=$((passed + 14))

say "a node's token is worth as little as its certificate"
API_PROGRAM=resource-cluster-api API_STORE=sqlite:$dir/cluster.db api_run --cluster-name=c1 --agent-address=127.0.0.1:0 \
    --token-auth-file="$dir/tokens"
with_token() { curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "https://127.0.0.1:$port/api/v1/namespaces/default/secrets/$2"; }
[ "$(with_token node-n1 s1)" = 200 ] || die "a node's token cannot read the secret of its own pod"
[ "$(with_token node-n1 s2)" = 403 ] || die "a node's token reads another node's secret"
[ "$(with_token node-n2 s2)" = 401 ] || die "a wrong token is believed"
passed=$((passed + 3))

say "nothing was lost, also not over a restart"
api_stop
api_run
for i in 1 2 3; do
    answers 200 "\"n\":\"$i\"" admin "$configmaps/keep-$i"
done
answers 200 '"n":"200"' admin $configmaps/large
api_stop
grep -q '"event":"stopped"' "$dir/api.log" || die "no graceful stop"
echo "$passed cases passed"
