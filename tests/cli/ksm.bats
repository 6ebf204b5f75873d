#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify ksm: who is opted in, and what comes of it.

load ../lib/farm
load ../lib/pages

KSM=/sys/kernel/mm/ksm

need_ksm() {
	[[ -e $KSM/run ]] || skip "this kernel has no KSM"
	grep -q ksm_merge_any /proc/self/ksm_stat 2>/dev/null || skip "the kernel does not say who is opted in"
}

is_in() {
	grep -q 'ksm_merge_any: yes' "/proc/$1/ksm_stat"
}

# The host's setting is for all of its processes: one test at a time, and only where nobody else uses it. It is put back
# by a process that waits for the end of this one, however that comes.
prepare_ksm() {
	need_ksm
	exec {KSM_LOCK}>/run/lock/vunify-test-ksm
	flock -n "$KSM_LOCK" || skip "another test has KSM switched on"
	[[ $(<$KSM/run) == 0 ]] || skip "somebody uses KSM on this machine"
	mkfifo "$STATE/ksm-on"
	# shellcheck disable=SC2016
	KSM=$KSM setsid bash -c '
		scan=$(<$KSM/pages_to_scan) sleep=$(<$KSM/sleep_millisecs)
		: >"$1-is"
		read -r _ <"$1" || :
		echo 2 >$KSM/run
		echo 0 >$KSM/run
		echo $scan >$KSM/pages_to_scan
		echo $sleep >$KSM/sleep_millisecs' - "$STATE/ksm-on" 3>&- 4>&- {KSM_LOCK}>&- &
	KSM_KEEPER=$!
	wait_until test -e "$STATE/ksm-on-is"
	exec {KSM_ON}>"$STATE/ksm-on"
	echo 20000 >$KSM/pages_to_scan
	echo 5 >$KSM/sleep_millisecs
}

teardown() {
	if [[ -n ${KSM_ON:-} ]]; then
		end_processes # they have it open, too
		exec {KSM_ON}>&-
		wait "$KSM_KEEPER"
		exec {KSM_LOCK}>&-
	fi
	farm_down
}

scanned() {
	(($(<$KSM/full_scans) >= $1))
}

# Until all has been scanned so often that whatever can be merged is.
scan() {
	WAIT_SECONDS=120 wait_until scanned $(($(<$KSM/full_scans) + 4))
}

# Leaves the number in N, and all of the census in OUT.
count_pages() {
	vx 0 pages --json "$G"/g?
	N=$(total pages)
}

@test "ksm run: the command is opted in, and what it starts" {
	need_ksm
	# shellcheck disable=SC2016
	"$VUNIFY" ksm run -- bash -c 'grep merge_any /proc/$$/ksm_stat; bash -c "grep merge_any /proc/\$\$/ksm_stat"; :' >"$STATE/said" 2>&1
	eq "$(grep -c yes "$STATE/said")" 2 "$(<"$STATE/said")"
	# shellcheck disable=SC2016
	vx 0 ksm run -- sh -c 'test "$1" = "a  b"' - 'a  b'
	vx 7 ksm run -- sh -c 'exit 7'
	vx 127 ksm run -- /no/such/program
	vx 2 ksm run true
	vx 2 ksm run a b -- true
}

@test "ksm run GUEST: the command is opted in, in the guest" {
	need_ksm
	command -v busybox >/dev/null || skip "needs busybox"
	cp "$(command -v busybox)" "$G/g1/bin/busybox"
	mkdir -p "$G"/g1/{proc,dev,tmp}
	vx 0 scan "$G"/g?
	vx 0 ksm run g1 -- /bin/busybox grep merge_any /proc/self/ksm_stat
	has "$OUT" 'yes'
	vx 3 ksm run g1 -- /bin/busybox sh -c 'exit 3'
}

@test "ksm run --preload: the heap, what is mapped and threads' memory are marked; the allocator works" {
	need_ksm
	cat >"$STATE/p.c" <<'C'
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the mapping with the address, has it the flag? */
static int marked(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long a, b;
	int in = 0, r = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2)
			in = (unsigned long)(uintptr_t)p >= a && (unsigned long)(uintptr_t)p < b;
		if (in && !strncmp(line, "VmFlags:", 8))
			r = strstr(line, " mg") != NULL;
	}
	fclose(f);
	return r;
}

static void *thread(void *arg)
{
	char *p = malloc(1000);

	memset(p, 1, 1000);
	*(int *)arg = marked(p);
	free(p);
	return NULL;
}

static int data = 1;

int main(void)
{
	char *small = malloc(100), *big = malloc(1 << 20), *zero = calloc(1000, 1000), *grown = malloc(10);
	void *aligned = NULL, *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int in_thread = 0;
	pthread_t t;

	for (int i = 0; i < 1000000; i++)
		if (zero[i])
			return 1;
	memset(grown, 7, 10);
	for (size_t n = 20; n < 3000000; n *= 2) {
		grown = realloc(grown, n);
		if (grown[9] != 7)
			return 2;
	}
	char *late[3000];
	for (int i = 0; i < 3000; i++)
		memset(late[i] = malloc(1000), i, 1000); /* the heap grows */
	if (posix_memalign(&aligned, 4096, 100000) || (uintptr_t)aligned % 4096)
		return 3;
	pthread_create(&t, NULL, thread, &in_thread);
	pthread_join(t, NULL);
	printf("%d %d %d %d %d %d %d %d %d\n", marked(small), marked(big), marked(zero), marked(grown), marked(late[2999]),
	       marked(aligned), marked(map), in_thread, marked(&data));
	for (int i = 0; i < 3000; i++)
		free(late[i]);
	free(small), free(big), free(zero), free(grown), free(aligned);
	return 0;
}
C
	cc_test "$STATE/p.c" "$STATE/p"
	eq "$("$VUNIFY" ksm run --preload -- "$STATE/p" 2>&1)" '1 1 1 1 1 1 1 1 1' "what is marked"
	eq "$("$STATE/p")" '0 0 0 0 0 0 0 0 0' "without it"
	# a program with threads, and much else in it
	vx 0 ksm run --preload -- python3 -c 'import threading, json, ctypes; t = [threading.Thread(target=lambda: json.dumps(list(range(10**5)))) for _ in range(8)]; [x.start() for x in t]; [x.join() for x in t]'
}

@test "ksm attach and detach: processes that run, with what they start afterwards" {
	need_ksm
	process 1 "$G/g1"
	process 2 "$G/g1"
	tell 2 fork
	process 3 "$G/g2"
	vx 0 ksm attach -n "$G/g1"
	has "$OUT" '^3 processes would be opted in'
	! is_in "${PID[1]}" || die "it is opted in"
	vx 0 ksm attach --json "$G/g1"
	jq -e '.changed == 3 and .left == 0 and ([.processes[].guest] | unique == ["g1"])' <<<"$OUT" >/dev/null || die "$OUT"
	is_in "${PID[1]}" && is_in "${PID[2]}" && is_in "$(pgrep -P "${PID[2]}")" || die "one is not opted in"
	! is_in "${PID[3]}" || die "another guest's is opted in"
	tell 1 fork
	is_in "$(pgrep -P "${PID[1]}")" || die "what it started is not opted in"
	vx 0 ksm attach "$G/g1" "${PID[3]}"
	has "$OUT" '^1 processes are opted in, 4 were'
	vx 0 ksm status "$G/g1"
	has "$OUT" '^g1 +4 +4 '
	vx 0 ksm detach "$G/g1"
	! is_in "${PID[1]}" || die "it is opted in still"
	is_in "${PID[3]}" || die "another guest's is opted out"
	for p in 1 2 3; do tell $p where; done
	vx 2 ksm attach 4194399
	vx 2 ksm attach
}

@test "ksm attach: what cannot be opted in is told, and left as it is" {
	need_ksm
	process 1 "$G/g1"
	process 2 "$G/g1"
	kill -STOP "${PID[1]}"
	vx 3 ksm attach "$G/g1"
	has "$ERR" "process ${PID[1]}.*stopped"
	is_in "${PID[2]}" || die "the other one is not opted in"
	[[ $(state_of "/proc/${PID[1]}") == T ]] || die "it is not stopped any more"
	kill -CONT "${PID[1]}"
	tell 1 where
}

@test "ksm attach: killed at any time, the processes are what they were" {
	need_ksm
	for p in 1 2 3 4 5 6 7 8; do process $p "$G/g1"; done
	for i in {1..25}; do
		timeout -s KILL "0.0$((RANDOM % 50 + 10))" "$VUNIFY" --config "$CONF" --catalog "$CAT" ksm \
			"$( ((i % 2)) && echo attach || echo detach)" "$G/g1" >/dev/null 2>&1 || :
		for p in 1 2 3 4 5 6 7 8; do tell $p fill 1 1 1 "$i"; done
	done
}

@test "guests of two domains are not opted in together, unless it is asked for" {
	need_ksm
	vx 0 guests add "$G/g1"
	vx 0 guests add --domain=tenant "$G/g2"
	process 1 "$G/g1"
	process 2 "$G/g2"
	vx 12 ksm attach g1 g2
	has "$ERR" 'another domain'
	! is_in "${PID[1]}" && ! is_in "${PID[2]}" || die "one is opted in"
	vx 0 ksm attach g1
	vx 12 ksm attach g2
	has "$ERR" "process ${PID[1]} of the guest g1 is opted in"
	vx 12 ksm attach "${PID[2]}"
	vx 12 ksm run g2 -- /bin/true
	vx 0 ksm attach --across-domains g2
	vx 0 ksm status
	has "$ERR" 'domains are opted in'
	vx 0 ksm detach g1 g2
}

@test "what the census predicts is what KSM frees, and the census leaves it merged" {
	prepare_ksm
	# shellcheck disable=SC2034 # of process
	WITH=("$VUNIFY" ksm run --)
	process 1 "$G/g1"
	process 2 "$G/g2"
	process 3 "$G/g3"
	tell 1 fill 2000 1000 3000 1 # 1,000 are in two guests
	tell 2 fill 1000 500 4000 2
	tell 3 fill 500 2000 1000 1
	tell 1 fork
	count_pages
	before=$N predicted=$(total freed)
	for _ in {1..10}; do # what was looked at in vain is left out of some scans (smart_scan)
		echo 1 >$KSM/run
		scan
		echo 0 >$KSM/run # nothing moves any more
		count_pages
		(($(total freed) * 100 > predicted * 2)) || break
	done
	after=$N
	echo "# proof: pages freed by KSM, in frames (predicted $predicted) | $((before - after)) | 0" >&3
	((predicted > 7000 && (before - after) * 100 > predicted * 98 && (before - after) * 100 < predicted * 102)) ||
		die "predicted $predicted, came $((before - after))"
	sharing=$(<$KSM/pages_sharing)
	(($(total freed) * 100 < predicted * 2)) || die "$(total freed) pages are to be freed still"
	count_pages
	eq "$N" "$after" "pages after another census"
	eq "$(<$KSM/pages_sharing)" "$sharing" "the kernel's pages_sharing"
	vx 0 ksm status --json "$G"/g?
	freed=$(jq '.total.freed_bytes / 4096' <<<"$OUT")
	# pages that were forked before count as merged too: so it is a little more
	((freed * 100 > predicted * 98)) || die "status says $freed"
	(($(jq '.total.cost_bytes' <<<"$OUT") > 0)) || die "no cost: $OUT"
	vx 0 ksm detach "$G"/g?
	count_pages
	((N * 100 > before * 98)) || die "not all is there again: $N of $before"
}
