#!/bin/bash
# run.sh - prints the figures of docs/performance.md, one line each.
#
#   tests/bench/run.sh [--quick] [--only PART]... [--seconds N]
#
# Parts: sqlite, postgres (creates at 1, 16 and 64 connections, updates, server-side applies, GETs, LISTs,
# watches), etcd (its puts, as a rival), memory (50,000 objects), fleet (every daemon of the default
# fleet idle; one apply until all its pods run). Default: all of them.
#
#   --quick      a second a figure and 5,000 objects instead of 50,000: shows that all of it works
#   --seconds N  of load a figure (5)
#
# RCTL_BIN is the folder of the programs (build/release/bin): build the preset `release` first.
# "api us" and "db us" are microseconds of CPU an operation (an event, for watches): where other
# work shares the machine they are what compares; the rates are lower bounds. SQLite is
# inside the API, so its share is in "api us".
set -Eeuo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
RCTL_BIN=${RCTL_BIN:-$root/build/release/bin}
tests=$RCTL_BIN/../tests
seconds=5 objects=50000 only=

usage() {
    sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --quick) seconds=1 objects=5000 ;;
    --only) only="$only ${2:?--only needs a part}" && shift ;;
    --seconds) seconds=${2:?--seconds needs a number} && shift ;;
    -h | --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
    shift
done
for part in $only; do
    case $part in sqlite | postgres | etcd | memory | fleet) ;; *) usage 2 >&2 ;; esac
done
for program in "$RCTL_BIN/resource-api" "$RCTL_BIN/rctl" "$tests/bench_kload" "$tests/bench_etcd"; do
    [ -x "$program" ] || {
        echo "run.sh: no $program: cmake --preset release && cmake --build --preset release" >&2
        exit 1
    }
done

wants() { # wants PART
    [ -z "$only" ] || case " $only " in *" $1 "*) ;; *) return 1 ;; esac
}

. "$root/tests/e2e/api_server.sh"
work=$(mktemp -d)
chmod 0711 "$work" # the server of PostgreSQL runs as another user
pg= pg_pid= etcd_pid=
cleanup() {
    api_stop
    [ -z "$etcd_pid" ] || kill "$etcd_pid" 2>/dev/null || true
    [ -z "$pg" ] || "$root/scripts/pg-private" stop "$pg"
    [ ! -d "$work/fleet" ] || "$RCTL_BIN/rctl" dev down --dir "$work/fleet" >/dev/null 2>&1 || true
    rm -rf "$work" "${dir:-$work}"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# number KEY JSON: the value of a key of kload's line
number() {
    sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" <<<"$2" | head -n 1
}

row() { # row WHAT VALUE UNIT [REST]
    printf '%-46s %12s %-12s %s\n' "$1" "$2" "$3" "${4:-}"
}

server() { # server STORE [FLAGS]: a fresh API; kload's common flags are in $load
    [ -z "${dir:-}" ] || { api_stop && rm -rf "$dir"; }
    pg_pid= API_STORE=
    if [ "$1" = postgres ]; then
        [ -z "$pg" ] || "$root/scripts/pg-private" stop "$pg"
        pg=$work/pg
        API_STORE=$("$root/scripts/pg-private" start "$pg") || return 1
        pg_pid=$(head -n 1 "$pg/data/postmaster.pid")
    fi
    shift
    api_start "$@"
    trap cleanup EXIT
    load=("$tests/bench_kload" --base "https://127.0.0.1:$port" --ca "$dir/ca.crt" --cert "$dir/admin.crt"
        --key "$dir/admin.key" --pid "api=$api_pid" ${pg_pid:+--pid "db=$pg_pid"})
}

measure() { # measure WHAT UNIT FLAGS...: one run of kload as one line
    local what=$1 unit=$2 out rest db
    shift 2
    out=$("${load[@]}" "$@" 2>"$work/kload.err") || {
        cat "$work/kload.err" >&2
        return 1
    }
    db=$(number db_cpu_us_per_op "$out")
    rest="api $(number api_cpu_us_per_op "$out") us${db:+, db $db us}"
    case $unit in
    events/s) row "$what" "$(number events_per_s "$out")" "$unit" "lag p99 $(number lag_p99_ms "$out") ms, $rest" ;;
    MB/s) row "$what" "$(number in_MBps "$out")" "$unit" "$(number per_s "$out")/s, $rest" ;;
    *) row "$what" "$(number per_s "$out")" "$unit" "p99 $(number p99_ms "$out") ms, $rest" ;;
    esac
}

put_etcd() { # put_etcd CONNECTIONS
    local before after out
    before=$(ticks "$etcd_pid")
    out=$("$tests/bench_etcd" 127.0.0.1:"$etcd_port" "$1" "$seconds")
    after=$(ticks "$etcd_pid")
    row "etcd: put 1 KiB, $1 connections" "$(number per_s "$out")" puts/s "p99 $(number p99_ms "$out") ms, db $(
        awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$(number ok "$out")" \
            'BEGIN { printf "%.1f", t * 1e6 / hz / n }') us"
}

ticks() { # ticks PID: of CPU so far
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

memory_of() { # memory_of PID: "RSS PSS" in MiB
    awk '/^Rss:/ { r = $2 } /^Pss:/ { p = $2 } END { printf "%.1f %.1f", r / 1024, p / 1024 }' "/proc/$1/smaps_rollup"
}

run_store() { # run_store STORE: what goes over the network to one API
    local s=$1 c t=$seconds
    server "$s" || {
        row "$s" - skipped "no server of it on this machine"
        return 0
    }
    for c in 1 16 64; do
        measure "$s: create 1 KiB, $c connections" creates/s -c $c --duration "$t" --prefix "c$c" create
    done
    "${load[@]}" -c 64 -n 5000 --prefix u create >/dev/null
    measure "$s: update 1 KiB, 64 connections" updates/s -c 64 --duration "$t" --prefix u --objects 5000 update
    measure "$s: server-side apply 1 KiB, 64 connections" applies/s -c 64 --duration "$t" --prefix a --objects 5000 apply
    measure "$s: GET, 1 connection" GETs/s -c 1 --duration "$t" --prefix u --objects 5000 get
    measure "$s: GET, 64 connections" GETs/s -c 64 --duration "$t" --prefix u --objects 5000 get
    measure "$s: GET resourceVersion=0, 64 connections" GETs/s -c 64 --duration "$t" --prefix u --objects 5000 \
        --query resourceVersion=0 get
    server "$s"
    "${load[@]}" -c 64 -n 5000 create >/dev/null
    measure "$s: LIST of 5,000" MB/s -c 4 --duration "$t" list
    measure "$s: LIST of 5,000, gzip" MB/s -c 4 --duration "$t" --gzip list
    measure "$s: LIST of 5,000 as Table" MB/s -c 4 --duration "$t" \
        --accept 'application/json;as=Table;v=v1;g=meta.k8s.io' list
    measure "$s: watch, 500 watchers, 1 writer" events/s --watchers 500 --duration "$t" watch
}

run_etcd() {
    command -v etcd >/dev/null || {
        row etcd - skipped "no etcd on this machine (Debian: etcd-server)"
        return 0
    }
    # etcd cannot be asked which port the kernel chose: one that is free now is tried.
    for etcd_port in 23790 24790 25790; do
        etcd --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
            --advertise-client-urls "http://127.0.0.1:$etcd_port" \
            --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))" >"$work/etcd.log" 2>&1 &
        etcd_pid=$!
        for _ in $(seq 100); do
            curl -sf "http://127.0.0.1:$etcd_port/health" >/dev/null && break 2
            kill -0 "$etcd_pid" 2>/dev/null || break
            sleep 0.1
        done
        kill "$etcd_pid" 2>/dev/null || true
    done
    for c in 1 16 64; do
        put_etcd $c
    done
    kill "$etcd_pid"
    wait "$etcd_pid" 2>/dev/null || true
    etcd_pid=
}

run_memory() {
    local before
    server sqlite
    sleep 1
    before=$(memory_of "$api_pid")
    row "API empty: RSS, PSS" "$before" MiB
    "${load[@]}" -c 64 -n "$objects" create >/dev/null
    row "API after $objects creates: RSS, PSS" "$(memory_of "$api_pid")" MiB
    sleep 15
    row "the same, 15 s later" "$(memory_of "$api_pid")" MiB
    api_stop
    api_run
    sleep 1
    row "the same, started again" "$(memory_of "$api_pid")" MiB
}

daemons() { # "NAME PID" of each daemon of the fleet
    "$RCTL_BIN/rctl" dev status --dir "$work/fleet" -o json |
        sed -n 's/.*"name": "\([^"]*\)".*/\1/p; s/.*"pid": \([0-9]*\).*/\1/p' | paste -d" " - -
}

run_fleet() {
    local wait_s=60 name pid mem sum=0 hz t0
    [ "$seconds" -gt 1 ] || wait_s=5
    hz=$(getconf CLK_TCK)
    export KUBECONFIG=$work/fleet/kubeconfig HOME=$work
    t0=$(date +%s%N)
    "$RCTL_BIN/rctl" dev up --dir "$work/fleet" >/dev/null
    row "fleet up, until ready" $((($(date +%s%N) - t0) / 1000000)) ms
    sleep 10
    daemons >"$work/daemons"
    while read -r name pid; do
        echo "$(ticks "$pid") $(sed -n 's/^write_bytes: //p' "/proc/$pid/io")"
    done <"$work/daemons" >"$work/before"
    sleep $wait_s
    while read -r name pid && read -r t w <&3; do
        mem=$(memory_of "$pid")
        sum=$(awk -v a="$sum" -v b="${mem#* }" 'BEGIN { print a + b }')
        row "$name idle: RSS, PSS" "$mem" MiB "$(awk -v t=$(($(ticks "$pid") - t)) -v hz="$hz" -v s=$wait_s \
            'BEGIN { printf "%.2f %% of a core", t * 100 / hz / s }'), $(($(sed -n 's/^write_bytes: //p' \
            "/proc/$pid/io") - w)) bytes written in $wait_s s"
    done <"$work/daemons" 3<"$work/before"
    row "the whole fleet idle, PSS" "$sum" MiB
    t0=$(date +%s%N)
    "$RCTL_BIN/rctl" apply -f "$root/manifests/examples/web.yaml" >/dev/null
    until [ "$("$RCTL_BIN/rctl" get pods -n web --clusters -o json |
        grep -c '"phase": *"Running"')" -ge 6 ]; do
        [ $((($(date +%s%N) - t0) / 1000000000)) -lt 60 ] || return 1
    done
    row "one apply until its six pods run" $((($(date +%s%N) - t0) / 1000000)) ms
    "$RCTL_BIN/rctl" dev down --dir "$work/fleet" >/dev/null
}

echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
! wants sqlite || run_store sqlite
! wants postgres || run_store postgres
! wants etcd || run_etcd
! wants memory || run_memory
! wants fleet || run_fleet
