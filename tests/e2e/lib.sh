#!/bin/bash
# lib.sh - what the end-to-end tests share. Sourced by bash scripts; RCTL_BIN and RCTL_SRC come from ctest.
#
#   fleet_up [flags of rctl dev up]   a fleet in $FLEET, taken down at exit; KUBECONFIG is set
#   step TEXT                         what is being checked now
#   check TEXT COMMAND...             fails the test when the command fails
#   eventually SECONDS TEXT COMMAND   repeats the command until it succeeds
#   fail TEXT

set -Eeuo pipefail

RCTL_SRC=${RCTL_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
RCTL_BIN=${RCTL_BIN:-$RCTL_SRC/build/dev/bin}
PATH=$RCTL_BIN:$PATH
WORK=$(mktemp -d "${TMPDIR:-/tmp}/rctl-e2e.XXXXXX")
FLEET=$WORK/fleet
export KUBECONFIG=$FLEET/kubeconfig
export HOME=$WORK # kubectl's caches
export ASAN_OPTIONS=${ASAN_OPTIONS-log_path=$WORK/report} UBSAN_OPTIONS=${UBSAN_OPTIONS-log_path=$WORK/report:print_stacktrace=1}

step() { echo "== $*"; }

fail() {
    echo "FAIL: $*" >&2
    for log in "$FLEET"/log/*.log; do
        [ -s "$log" ] || continue
        echo "-- $(basename "$log")"
        grep -v '"event":"request"' "$log" | tail -n 15 | cut -c1-400
    done >&2
    exit 1
}

check() {
    local what=$1
    shift
    "$@" || fail "$what: $*"
}

eventually() {
    local seconds=$1 what=$2 until=$((SECONDS + $1))
    shift 2
    until "$@" >"$WORK/last" 2>&1; do
        if [ $SECONDS -ge $until ]; then
            cat "$WORK/last" >&2
            fail "$what: not within $seconds s: $*"
        fi
        sleep 0.2
    done
}

# same EXPECTED COMMAND...: the command's output, blanks folded
same() {
    local want=$1 got
    shift
    got=$("$@" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//')
    [ "$got" = "$want" ] || {
        echo "expected \"$want\", got \"$got\" from: $*" >&2
        return 1
    }
}

cleanup() {
    local rc=$?
    if [ -n "${KEEP:-}" ]; then
        echo "kept: $WORK"
    else
        rctl dev down --dir "$FLEET" >/dev/null 2>&1 || true
        for hook in "${AT_EXIT[@]:-}"; do eval "$hook" || true; done
        # what sanitizers say of daemons, up to their very end
        for report in "$WORK"/report.*; do
            [ -f "$report" ] || continue
            head -n 60 "$report" >&2
            rc=1
        done
        rm -rf "$WORK"
    fi
    exit $rc
}
AT_EXIT=()
trap cleanup EXIT
trap 'echo "line $LINENO of $0: failed: $BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM

fleet_up() {
    check "rctl dev up" rctl dev up --dir "$FLEET" "$@"
}

# pid of a daemon of the fleet by its name
daemon_pid() {
    { rctl dev status --dir "$FLEET" -o json || true; } | tr -d '\n ' | sed "s/.*\"name\":\"$1\",[^}]*\"pid\":\([0-9]*\).*/\1/"
}

kill_daemon() {
    local pid
    pid=$(daemon_pid "$1")
    [[ $pid =~ ^[0-9]+$ ]] || fail "no pid of $1"
    kill -9 "$pid"
}

# shellcheck source=tests/e2e/kubectls.sh
. "$RCTL_SRC/tests/e2e/kubectls.sh"
