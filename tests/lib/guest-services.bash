# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Services in chroot guests made by make-guests -s: nginx, redis, python3, perl, bash, in each as a service has them, in
# memory cgroups of their own where there are such.
#
#   services_start ROOT...   starts them and waits until all are ready
#   services_stop            ends them all, and removes their cgroups
#
# SERVICES_GROUP is the cgroup above those of the guests (gN by the last part of the root's path), or empty.

SERVICES_GROUP=''

services_cgroups() {
	local top
	[[ -z $SERVICES_GROUP ]] || return 0
	for top in /sys/fs/cgroup/memory /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[[ -f $top/memory.usage_in_bytes || -f $top/cgroup.controllers ]] || continue
		SERVICES_GROUP=$(mktemp -d "$top/vu-services.XXXXXXXX") || continue
		[[ -f $SERVICES_GROUP/memory.stat ]] && break
		rmdir "$SERVICES_GROUP"
		SERVICES_GROUP=''
	done
	[[ ! -f $SERVICES_GROUP/cgroup.subtree_control ]] || echo +memory >"$SERVICES_GROUP/cgroup.subtree_control"
}

# service ROOT COMMAND...
service() {
	local root=$1
	shift
	(
		[[ -z $SERVICES_GROUP ]] || echo "$BASHPID" >"$SERVICES_GROUP/${root##*/}/cgroup.procs"
		exec setsid chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
	) >/dev/null 2>&1 </dev/null 3>&- 4>&- &
	SERVICES_PIDS+=" $!"
}

services_in() {
	local root=$1
	[[ -z $SERVICES_GROUP ]] || mkdir -p "$SERVICES_GROUP/${root##*/}"
	rm -f "$root"/run/ready-* "$root"/run/*.sock
	cat >"$root/etc/vu-nginx.conf" <<-'CONF'
		daemon off;
		worker_processes 2;
		pid /run/vu-nginx.pid;
		error_log /dev/null;
		events { worker_connections 64; }
		http { access_log off; server { listen unix:/run/nginx.sock; } }
	CONF
	service "$root" nginx -c /etc/vu-nginx.conf
	service "$root" redis-server --port 0 --unixsocket /run/redis.sock --save '' --dir /tmp
	service "$root" python3 -c '
import asyncio, ctypes, decimal, email.parser, http.server, json, sqlite3, ssl, time, xml.etree.ElementTree
open("/run/ready-python", "w")
time.sleep(100000)'
	service "$root" perl -MPOSIX -MFile::Find -MIO::Socket -e 'open(F, ">/run/ready-perl"); close(F); sleep(100000)'
	service "$root" bash -c ': >/run/ready-bash; while :; do sleep 100000; done'
}

services_ready() {
	local root f
	for root in "$@"; do
		for f in nginx.sock redis.sock ready-python ready-perl ready-bash; do
			[[ -e $root/run/$f ]] || return 1
		done
	done
}

services_start() {
	local root
	SERVICES_PIDS=''
	services_cgroups
	for root in "$@"; do
		services_in "$root"
	done
	wait_until services_ready "$@" || die "services did not get ready"
	# what they still do on their own, as nginx's workers
	sleep 1
}

services_gone() {
	local pid
	for pid in $SERVICES_ALL; do
		[[ ! -d /proc/$pid ]] || return 1
	done
}

# Those that were started, and what these have started: of sessions of their own.
services_stop() {
	local pid
	SERVICES_ALL=''
	for pid in ${SERVICES_PIDS:-}; do
		SERVICES_ALL+=" $(ps -o pid= -s "$pid" | tr '\n' ' ')"
	done
	[[ -z $SERVICES_GROUP ]] || SERVICES_ALL+=" $(cat "$SERVICES_GROUP"/*/cgroup.procs 2>/dev/null | tr '\n' ' ')"
	# shellcheck disable=SC2086 # words
	[[ -z ${SERVICES_ALL// /} ]] || kill -KILL $SERVICES_ALL 2>/dev/null || :
	# shellcheck disable=SC2086
	[[ -z ${SERVICES_PIDS:-} ]] || wait $SERVICES_PIDS 2>/dev/null || :
	wait_until services_gone || die "services did not end"
	SERVICES_PIDS=''
	if [[ -n $SERVICES_GROUP ]]; then
		wait_until services_groups_gone || die "cgroups of services stay: $SERVICES_GROUP"
		SERVICES_GROUP=''
	fi
}

services_groups_gone() {
	rmdir "$SERVICES_GROUP"/* 2>/dev/null
	rmdir "$SERVICES_GROUP" 2>/dev/null
}
