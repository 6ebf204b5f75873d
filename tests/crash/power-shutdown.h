/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts by the ioctl with which ext4 and XFS stop at once (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN):
 * what the file system has not given its disk by then is lost.
 */
#pragma once

#include <stdint.h>

#include "power-line.h"

/*
 * Tells the story once without a cut, and then n times with one, before some call of some command. base:
 * a memfd with an empty file system. Returns how many cuts lost something, or a negative errno.
 */
int power_shutdown_run(struct power_line *l, int base, uint32_t n);
