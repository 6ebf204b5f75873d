/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- OCI: rules without a test are one entry, the others one each ---- */

static const char *const archs[] = {
#ifdef __x86_64__
	"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"
#else
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"
#endif
};

struct oci {
	json_t *always;	  /* names that are notified whatever the arguments are; owned */
	json_t *syscalls; /* owned */
};

/* Takes value over, as all of jansson's functions _new do; also NULL, which is a failure. */
static int put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

static json_t *test_of(const struct vu_rule *r)
{
	json_int_t arg = r->arg, mask = r->mask, value = r->value;

	if (r->test == VU_RULE_NOT_NULL)
		return json_pack("[{s:I, s:I, s:s}]", "index", arg, "value", (json_int_t)0, "op",
				 "SCMP_CMP_NE");
	return json_pack("[{s:I, s:I, s:I, s:s}]", "index", arg, "value", mask, "valueTwo", value,
			 "op", "SCMP_CMP_MASKED_EQ");
}

static int add_oci(void *arg, const struct vu_rule *r)
{
	struct oci *o = arg;

	if (!r->error && r->test == VU_RULE_ANY)
		return json_array_append_new(o->always, json_string(r->name)) ? -ENOMEM : 0;

	json_t *entry = json_pack("{s:[s], s:s}", "names", r->name, "action",
				  r->error ? "SCMP_ACT_ERRNO" : "SCMP_ACT_NOTIFY");
	int err = entry ? 0 : -ENOMEM;

	if (!err && r->error)
		err = put(entry, "errnoRet", json_integer(r->error));
	if (!err && r->test != VU_RULE_ANY)
		err = put(entry, "args", test_of(r));
	if (err) {
		json_decref(entry);
		return err;
	}
	return json_array_append_new(o->syscalls, entry) ? -ENOMEM : 0;
}

static json_t *list_archs(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < VU_ARRAY_SIZE(archs); i++) {
		if (json_array_append_new(list, json_string(archs[i]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int add_head(json_t *top, const char *listener_path, const char *metadata)
{
	json_t *path = json_string(listener_path), *meta = metadata ? json_string(metadata) : NULL;

	/* jansson does not tell memory from UTF-8; the former is no more than a few bytes */
	if (!path || (metadata && !meta)) {
		json_decref(path);
		json_decref(meta);
		return -EINVAL;
	}
	int r = put(top, "listenerPath", path);

	if (meta) {
		int s = put(top, "listenerMetadata", meta);

		r = r ? r : s;
	}
	if (!r)
		r = put(top, "defaultAction", json_string("SCMP_ACT_ALLOW"));
	return r ? r : put(top, "architectures", list_archs());
}

/* Adds the rules. */
static int add_rules(json_t *top, unsigned flags)
{
	struct oci o = {json_array(), json_array()};
	int r = o.always && o.syscalls ? vu_ruleset_each(flags, add_oci, &o) : -ENOMEM;

	if (!r && json_array_insert_new(
			  o.syscalls, 0,
			  json_pack("{s:O, s:s}", "names", o.always, "action", "SCMP_ACT_NOTIFY")))
		r = -ENOMEM;
	json_decref(o.always);
	if (r) {
		json_decref(o.syscalls);
		return r;
	}
	return put(top, "syscalls", o.syscalls);
}

int vu_profile_oci(unsigned flags, const char *listener_path, const char *metadata, char **ret)
{
	json_t *top = json_object();
	char *text = NULL;
	int r = top ? add_head(top, listener_path, metadata) : -ENOMEM;

	if (!r)
		r = add_rules(top, flags);
	if (!r) {
		text = json_dumps(top, JSON_INDENT(2));
		r = text ? 0 : -ENOMEM;
	}
	json_decref(top);
	if (!r)
		*ret = text;
	return r;
}

/* ---- LXC: a line for each rule ---- */

/* Those of open(2) are among them, and none else. Of all architectures. */
#define FIRST_FLAG 0100
#define LAST_FLAG 020000000

/*
 * What LXC's init opens under the filter while its monitor does not take notifications yet, by how it opens it: it
 * would wait for ever. /dev/null (O_RDWR) before any command is executed, and with lxc-execute /dev/console, too.
 */
static const uint32_t own_opens[] = {O_RDWR, O_WRONLY | O_NOCTTY | O_CLOEXEC};

static void put_lxc(FILE *f, const struct vu_rule *r, uint32_t mask, uint32_t value)
{
	fprintf(f, "%s notify [%u,%#x,SCMP_CMP_MASKED_EQ,%#x]\n", r->name, r->arg, r->value | value,
		r->mask | mask);
}

/*
 * The same rule, but for flags that are exactly these. They have no O_CREAT, so who has it is another already. Without
 * it, one has to differ: a rule is one conjunction, so that each flag is one.
 */
static void add_but_own(FILE *f, const struct vu_rule *r, uint32_t own)
{
	if (!(r->mask & O_CREAT)) {
		put_lxc(f, r, O_CREAT, O_CREAT);
		return;
	}
	for (uint32_t flag = FIRST_FLAG; flag <= LAST_FLAG; flag <<= 1)
		if (!(r->mask & flag))
			put_lxc(f, r, flag, ~own & flag);
}

/* The C library's open is openat, on all architectures. */
static bool add_open(FILE *f, const struct vu_rule *r)
{
	if (strcmp(r->name, "openat") != 0)
		return false;
	for (size_t i = 0; i < VU_ARRAY_SIZE(own_opens); i++)
		if (r->value == (own_opens[i] & O_ACCMODE)) {
			add_but_own(f, r, own_opens[i]);
			return true;
		}
	return false;
}

static int add_lxc(void *arg, const struct vu_rule *r)
{
	FILE *f = arg;

	if (add_open(f, r))
		return 0;
	fputs(r->name, f);
	if (r->error)
		fprintf(f, " errno %d", r->error);
	else
		fputs(" notify", f);
	if (r->test == VU_RULE_MASKED)
		fprintf(f, " [%u,%#x,SCMP_CMP_MASKED_EQ,%#x]", r->arg, r->value, r->mask);
	if (r->test == VU_RULE_NOT_NULL)
		fprintf(f, " [%u,0,SCMP_CMP_NE]", r->arg);
	fputc('\n', f);
	return 0;
}

int vu_profile_lxc(unsigned flags, char **ret)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	fputs("2\ndenylist\n", f);
	vu_ruleset_each(flags, add_lxc, f);

	bool failed = ferror(f);

	if (fclose(f) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
