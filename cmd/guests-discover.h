/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vunify guests --discover`: what could be registered. */
#pragma once

#include "cmd/cmd.h"

/* Looks, prints, and returns the exit code. */
int vu_discover_run(struct vu_ctx *ctx);
