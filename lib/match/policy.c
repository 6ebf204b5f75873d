/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "match/policy.h"

#include <string.h>

enum vu_skip vu_policy_pair(const struct vu_policy *p, const struct vu_policy_side *a,
			    const struct vu_policy_side *b)
{
	if (strcmp(a->domain, b->domain))
		return VU_SKIP_OTHER_DOMAIN;
	if (a->attr->uid != b->attr->uid || a->attr->gid != b->attr->gid)
		return VU_SKIP_OWNER_DIFFERS;
	if (a->attr->mode != b->attr->mode)
		return VU_SKIP_MODE_DIFFERS;
	if (memcmp(&a->attr->xattrs, &b->attr->xattrs, sizeof(a->attr->xattrs)))
		return VU_SKIP_XATTR_DIFFERS;
	if (a->attr->flags != b->attr->flags)
		return VU_SKIP_FLAGS_DIFFER;
	if (p->mtime_exact && a->mtime_ns != b->mtime_ns)
		return VU_SKIP_MTIME_DIFFERS;
	return a->guest == b->guest ? VU_SKIP_SAME_GUEST : VU_SKIP_NONE;
}
