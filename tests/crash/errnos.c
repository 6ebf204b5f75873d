/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "errnos.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#define MOST 12

static const struct {
	int nr;
	uint32_t kind; /* see struct call */
	int errs[MOST];
} table[] = {
	/* calls that change something */
	{SYS_linkat, 0, {EIO, ENOSPC, EDQUOT, EMLINK, EPERM, EACCES, EROFS, ENOMEM, EXDEV, ELOOP}},
	{SYS_unlinkat, 0, {EIO, EPERM, EACCES, EROFS, ENOMEM, ELOOP}},
	{SYS_renameat2,
	 0,
	 {EIO, ENOSPC, EDQUOT, EMLINK, EPERM, EACCES, EROFS, ENOMEM, EXDEV, ESTALE, ELOOP}},
	{SYS_mkdirat, 0, {EIO, ENOSPC, EDQUOT, EMLINK, EPERM, EACCES, EROFS, ENOMEM}},
	{SYS_fsync, 0, {EIO, ENOSPC, EDQUOT, EROFS}},
	{SYS_fdatasync, 0, {EIO, ENOSPC, EDQUOT, EROFS}},
	{SYS_syncfs, 0, {EIO, ENOSPC, EDQUOT}},
	{SYS_fchmod, 0, {EIO, EPERM, EROFS, ENOMEM}},
	{SYS_fchown, 0, {EIO, EPERM, EROFS, EDQUOT, ENOMEM}},
	{SYS_utimensat, 0, {EIO, EPERM, EACCES, EROFS, ESTALE}},
	{SYS_fsetxattr, 0, {EIO, ENOSPC, EDQUOT, EPERM, ENOMEM, EROFS}},
	{SYS_ftruncate, 0, {EIO, EPERM, EINTR, EROFS}},
	{SYS_fallocate, 0, {EIO, ENOSPC, EINTR, EPERM}},
	{SYS_copy_file_range, 0, {EIO, ENOSPC, EDQUOT, ENOMEM, EXDEV, EPERM}},
	{SYS_pwrite64, 0, {EIO, ENOSPC, EDQUOT, EINTR, EPERM}},
	{SYS_pwritev2, 0, {EIO, ENOSPC, EDQUOT, EINTR, EPERM}},
	{SYS_write, 0, {EIO, ENOSPC, EDQUOT, EINTR, EPERM}},
	{SYS_write, 1, {EIO, ENOSPC, EPIPE}},
	{SYS_flock, 0, {EINTR, ENOLCK, ENOMEM}},
	{SYS_openat,
	 1,
	 {EIO, ENOSPC, EDQUOT, EPERM, EACCES, EROFS, ENOMEM, ELOOP, ESTALE, EMFILE, ENFILE}},
	{SYS_ioctl, FS_IOC_SETFLAGS, {EIO, ENOSPC, EDQUOT, EPERM, EACCES, EROFS, ENOMEM}},
	{SYS_ioctl, FS_IOC_FSSETXATTR, {EIO, ENOSPC, EPERM, EROFS, ENOMEM}},
	{SYS_ioctl, FICLONE, {EIO, ENOSPC, EDQUOT, EPERM, EXDEV, EROFS}},
	{SYS_ioctl, FICLONERANGE, {EIO, ENOSPC, EDQUOT, EPERM, EXDEV, EROFS}},
	{SYS_fcntl, F_SETLEASE, {EAGAIN, EACCES, ENOMEM}},
#ifdef SYS_unlink
	{SYS_unlink, 0, {EIO, EPERM, EACCES, EROFS, ENOMEM}},
	{SYS_mkdir, 0, {EIO, ENOSPC, EDQUOT, EMLINK, EPERM, EACCES, EROFS, ENOMEM}},
	{SYS_rmdir, 0, {EIO, EPERM, EACCES, EROFS, ENOMEM}},
#endif
	/* calls that look */
	{SYS_openat, 0, {EIO, ENOMEM, EMFILE, ENFILE, EACCES, ESTALE}},
	/* ELOOP, EXDEV, ESTALE are answers there: a symbolic link, a mount, another directory */
	{SYS_openat2, 0, {EIO, ENOMEM, EMFILE, ENFILE, EACCES}},
	{SYS_statx, 0, {EIO, ENOMEM, EACCES, ESTALE}},
	{SYS_newfstatat, 0, {EIO, ENOMEM, ESTALE}},
	{SYS_getdents64, 0, {EIO, ENOMEM}},
	{SYS_read, 0, {EIO, EINTR}},
	{SYS_pread64, 0, {EIO, EINTR}},
	{SYS_preadv2, 0, {EIO, EINTR, ENOMEM}},
	{SYS_fgetxattr, 0, {EIO, ENOMEM, EACCES}},
	{SYS_flistxattr, 0, {EIO, ENOMEM, EACCES}},
	{SYS_ioctl, FS_IOC_GETFLAGS, {EIO, ENOMEM}},
	{SYS_fcntl, F_SETLK, {EAGAIN, ENOLCK}},
	{SYS_fcntl, F_DUPFD_CLOEXEC, {EMFILE}},
	{SYS_fstatfs, 0, {EIO, ENOMEM}},
	{SYS_mmap, 0, {ENOMEM}},
	{SYS_clone3, 0, {EAGAIN, ENOMEM}},
	{SYS_clone, 0, {EAGAIN, ENOMEM}},
	{SYS_pipe2, 0, {EMFILE, ENFILE}},
};

const int *errnos_of(struct call c)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].nr == c.nr && table[i].kind == c.kind)
			return table[i].errs;
	return NULL;
}

const char *errnos_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "?";
}
