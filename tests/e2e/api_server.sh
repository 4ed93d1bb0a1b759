# api_server.sh - sourced by end-to-end tests: one resource-api with its own authority in a folder that goes away.
# After api_start: $dir, $port, $KUBECONFIG (user admin), $api_pid.  RCTL_BIN is the folder of the binaries.

say() {
    echo "--- $*"
}

die() {
    echo "FAILED: $*"
    [ -f "$dir/api.log" ] && grep -v '"event":"request"' "$dir/api.log" | tail -20
    exit 1
}

cert() { # cert NAME SUBJECT [EXTENSIONS]
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -out "$dir/$1.csr" \
        -subj "$2" 2>/dev/null
    printf '%s\n' "${3:-extendedKeyUsage=clientAuth}" >"$dir/$1.ext"
    openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
        -extfile "$dir/$1.ext" -out "$dir/$1.crt" 2>/dev/null
}

kubeconfig() { # kubeconfig USER: writes $dir/USER.kubeconfig
    cat >"$dir/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $dir/ca.crt}}]
users: [{name: u, user: {client-certificate: $dir/$1.crt, client-key: $dir/$1.key}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
END
}

api_stop() {
    if [ -n "${api_pid:-}" ] && kill "$api_pid" 2>/dev/null; then
        wait "$api_pid" || true
    fi
    api_pid=
}

api_run() { # api_run ARGS...: (re)starts the server on the same data
    "$RCTL_BIN/${API_PROGRAM:-resource-api}" --listen-address="127.0.0.1:${port:-0}" --tls-cert-file="$dir/server.crt" \
        --tls-private-key-file="$dir/server.key" --client-ca-file="$dir/ca.crt" --store="${API_STORE:-sqlite:$dir/api.db}" \
        "$@" 2>>"$dir/api.log" &
    api_pid=$!
    for _ in $(seq 600); do
        p=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$dir/api.log" | tail -1)
        [ -n "$p" ] && port=$p &&
            [ "$(curl -sk "https://127.0.0.1:$port/readyz")" = ok ] && return 0
        kill -0 "$api_pid" 2>/dev/null || die "the server did not start"
        sleep 0.1
    done
    die "the server did not get ready"
}

api_start() {
    : "${RCTL_BIN:?must name the folder of the binaries}"
    dir=$(mktemp -d)
    trap 'api_stop; rm -rf "$dir"' EXIT
    trap 'exit 1' INT TERM
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/ca.key" -out "$dir/ca.crt" \
        -subj /CN=test-ca -days 2 2>/dev/null
    cert server /CN=server "$(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth')"
    cert admin /O=system:masters/CN=admin
    cert viewer /O=rctl:viewers/CN=viewer
    cert node /O=system:nodes/CN=system:node:n1
    port=
    api_run "$@"
    for u in admin viewer node; do
        kubeconfig "$u"
    done
    export KUBECONFIG="$dir/admin.kubeconfig" HOME="$dir"
}
