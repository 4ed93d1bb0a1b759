#!/bin/bash
# prometheus.sh - a real Prometheus writes to us by remote write, and both answer the same generated queries alike.
#
# Needs the program prometheus (Debian's package); without it nothing is tested, which is said. Queries whose answers differ
# between Prometheus 2 and 3 (ranges that are open at their left) are not generated. SEED and QUERIES choose others, or more.

. "$(dirname "$0")/lib.sh"

command -v prometheus >/dev/null || {
    echo "skipped: no prometheus here (apt-get install prometheus)"
    exit 0
}

step "a fleet, and a Prometheus that scrapes itself and writes to the cluster's API"
fleet_up --regions 1 --nodes 1
server=$(kubectl config view -o jsonpath='{.clusters[?(@.name=="r1c1")].cluster.server}' 2>/dev/null ||
    awk '/server:/ { n++; if (n == 2) print $NF }' "$KUBECONFIG")
pki=$FLEET/pki
port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)->sockport')
cat >"$WORK/prometheus.yml" <<EOF
global: {scrape_interval: 1s}
scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:$port']}]}]
remote_write:
- url: $server/api/v1/write
  queue_config: {batch_send_deadline: 1s}
  tls_config: {ca_file: $pki/ca.crt, cert_file: $pki/admin.crt, key_file: $pki/admin.key}
EOF
prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" \
    --web.listen-address="127.0.0.1:$port" >"$WORK/prometheus.log" 2>&1 &
prometheus=$!
AT_EXIT+=("kill $prometheus; wait $prometheus")

curl_us() { curl -sS --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$@"; }
scraped() { [[ $(curl_us -G "$server/api/v1/query" --data-urlencode \
    'query=count_over_time(up{job="self"}[1m]) >= 15') == *'"value"'* ]]; }
eventually 90 "fifteen samples of each series arrive" scraped

step "both answer alike"
check "answers differ" perl "$RCTL_SRC/tests/e2e/promql_compare.pl" "$server" "$pki" \
    "http://127.0.0.1:$port" "${SEED:-$RANDOM}" "${QUERIES:-60}"
