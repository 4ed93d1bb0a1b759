#!/bin/bash
# Jobs: run to their end, count each end once, give up as told, stop and go on, and go with their pods.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

k() { kubectl --context r1c1 "$@"; }
export -f k
of() { k get job "$1" -o "jsonpath={.status.$2}"; }
is() { same True k get job "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].status}"; }

job() { # job NAME SPEC SCRIPT [POLICY]
    cat <<END
apiVersion: batch/v1
kind: Job
metadata: {name: $1}
spec:
$(sed 's/^/  /' <<<"$2")
  template:
    spec:
      runtimeClassName: host
      restartPolicy: ${4:-Never}
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: host, command: ["/bin/sh", "-c", "$3"]}
---
END
}

step "a fleet"
fleet_up --regions 1 --clusters 1 --nodes 2

step "five successes, two at a time"
{
    job five $'completions: 5\nparallelism: 2' 'echo worked; sleep 0.2'
    job broken $'backoffLimit: 0' 'exit 3'
    job slow $'activeDeadlineSeconds: 3' 'while :; do sleep 0.2; done'
    job short $'ttlSecondsAfterFinished: 1' 'exit 0'
    job held $'suspend: true' 'exit 0'
} >"$WORK/jobs.yaml"
check apply k apply -f "$WORK/jobs.yaml"
eventually 60 "complete" is five Complete
check "five are counted" same 5 of five succeeded
check "by five pods" same 5 bash -c "k get pods -l batch.kubernetes.io/job-name=five --no-headers | wc -l"
check "no pod is held by a finalizer" same "" k get pods -l batch.kubernetes.io/job-name=five -o 'jsonpath={.items[*].metadata.finalizers}'
check "nothing is left uncounted" same "" of five uncountedTerminatedPods.succeeded
check "its log" same worked bash -c "k logs job/five 2>/dev/null | head -n 1"
check "kubectl wait" k wait --for=condition=complete job/five --timeout=10s
k get jobs

step "giving up"
eventually 40 "the broken one failed" is broken Failed
check "for one failure" same 1 of broken failed
check "and says why" same BackoffLimitExceeded k get job broken -o 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}'
eventually 40 "the slow one failed" is slow Failed
check "at its deadline" same DeadlineExceeded k get job slow -o 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}'
eventually 40 "the short one is deleted" bash -c '! k get job short 2>/dev/null'
eventually 20 "with its pods" same "" k get pods -l batch.kubernetes.io/job-name=short -o name

step "suspended and resumed"
check "is told" is held Suspended
check "no pod" same "" k get pods -l batch.kubernetes.io/job-name=held -o name
check "resume" k patch job held --type=merge -p '{"spec":{"suspend":false}}'
eventually 40 "complete" is held Complete

step "the controller dies while a job runs: each end is counted once"
job many $'completions: 12\nparallelism: 4' 'sleep 0.3' | check apply k apply -f -
for _ in 1 2 3; do
    sleep 1
    kill_daemon r1c1-controller
    fleet_up >/dev/null
done
eventually 90 "complete" is many Complete
check "twelve" same 12 of many succeeded
check "twelve pods" same 12 bash -c "k get pods -l batch.kubernetes.io/job-name=many --no-headers | wc -l"

step "deleted with its pods"
check delete k delete job many five broken slow held --wait=false
eventually 30 "no pod is left" same "" k get pods -o name
echo "ok"
