/*
 * agent/shim_proto - what the agent and resource-pod-shim say to each other.
 *
 * One shim a pod.  It is small, static and lives as long as the pod: it is the parent of the
 * containers' processes, writes their logs and remembers how they ended.  The agent may come and
 * go, also in another version; everything it must know again is in files.
 *
 * Folder of a pod (POD), made by the agent:
 *   POD/shim.sock            socket, SOCK_SEQPACKET, mode 0600
 *   POD/shim.pid             "PID STARTTIME\n" of the shim
 *   POD/<container>/<n>.spec attempt n, written by the agent before "start"
 *   POD/<container>/<n>.state  written by the shim, replaced as a whole at each change
 *
 * A spec file is a sequence of NUL-terminated "key=value":
 *   arg        argv, repeated; the first is looked up in PATH of env when it has no slash
 *   env        repeated
 *   cwd
 *   uid, gid, group (repeated)        absent = the shim's own
 *   nnp=1      no_new_privs
 *   log        path of the log file; rotated ones get ".1", ".2", … (larger = newer) behind it
 *   logmax     bytes of one file; lognum  files kept, the open one included
 *   cgroup     file that gets "0" written by the new process (cgroup.procs), repeated
 *   kill       v2: cgroup.kill of the container's cgroup
 *   freeze     v1: freezer.state; members: cgroup.procs of the same cgroup
 *   oom        memory.events (v2) or memory.oom_control (v1): its line "oom_kill N"
 *   oomadj     oom_score_adj; refused values are left
 *   msrc, mdst, mro=0|1               one bind mount, in this order, repeated
 *   x-…        the agent's own notes; the shim passes over them
 * Unknown keys are passed over.
 *
 * A state file is lines "key=value":
 *   pid, start (field 22 of /proc/PID/stat), started_ns (Unix), started_ms (CLOCK_BOOTTIME), boot
 *   finished_ns, finished_ms, code, signal, oom          when it has ended
 *   error      the process could not be started; code is 128
 *
 * Messages are NUL-terminated strings, one message a packet.  Agent → shim: ID, VERB, arguments:
 *   start CONTAINER ATTEMPT          answered when the process runs or has failed to
 *   signal CONTAINER SIGNO           the main process
 *   kill CONTAINER                   SIGKILL to everything of the container
 *   exec CONTAINER TIMEOUT_MS ARG…   answered with "exit CODE OUTPUT" (OUTPUT at most 10 KiB); timeout is code -1
 *   shutdown                         kills what is left, answers and exits
 * Shim → agent: ID "ok" | ID "error" TEXT | ID "exit" CODE OUTPUT, and unasked: "0" "state" CONTAINER ATTEMPT
 * after each change of a state file, "0" "hello" VERSION first on every connection.
 */
#ifndef AGENT_SHIM_PROTO_H
#define AGENT_SHIM_PROTO_H

#define SHIM_VERSION "1"

enum {
	SHIM_PACKET_MAX = 16384,
	SHIM_OUTPUT_MAX = 10240,
	SHIM_CONTAINERS_MAX = 64,
	SHIM_EXECS_MAX = 32,
	SHIM_NAME_MAX = 63, /* a DNS label */
	SHIM_SPEC_BYTES_MAX = 4 << 20,
};

#endif
