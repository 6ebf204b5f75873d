/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libarchive, loaded when it is needed: it brings libxml2 and ICU, which double the time that every other command takes
 * to start, and want 40 MiB of address space where that is limited. Behind vu_libarchive_load() its functions
 * are called as ever. Included in place of archive.h and archive_entry.h.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>

/* Loads it, once. To be called while there is one thread. Returns 0 or -ELIBACC. */
int vu_libarchive_load(void);

#define VU_LIBARCHIVE(X)                                                                           \
	X(archive_entry_acl_add_entry)                                                             \
	X(archive_entry_acl_count)                                                                 \
	X(archive_entry_acl_next)                                                                  \
	X(archive_entry_acl_reset)                                                                 \
	X(archive_entry_clear)                                                                     \
	X(archive_entry_copy_hardlink)                                                             \
	X(archive_entry_copy_pathname)                                                             \
	X(archive_entry_copy_symlink)                                                              \
	X(archive_entry_free)                                                                      \
	X(archive_entry_gid)                                                                       \
	X(archive_entry_hardlink)                                                                  \
	X(archive_entry_mode)                                                                      \
	X(archive_entry_mtime)                                                                     \
	X(archive_entry_mtime_is_set)                                                              \
	X(archive_entry_mtime_nsec)                                                                \
	X(archive_entry_new)                                                                       \
	X(archive_entry_pathname)                                                                  \
	X(archive_entry_rdevmajor)                                                                 \
	X(archive_entry_rdevminor)                                                                 \
	X(archive_entry_set_gid)                                                                   \
	X(archive_entry_set_mode)                                                                  \
	X(archive_entry_set_mtime)                                                                 \
	X(archive_entry_set_rdev)                                                                  \
	X(archive_entry_set_size)                                                                  \
	X(archive_entry_set_uid)                                                                   \
	X(archive_entry_size)                                                                      \
	X(archive_entry_sparse_add_entry)                                                          \
	X(archive_entry_symlink)                                                                   \
	X(archive_entry_uid)                                                                       \
	X(archive_entry_xattr_add_entry)                                                           \
	X(archive_entry_xattr_next)                                                                \
	X(archive_entry_xattr_reset)                                                               \
	X(archive_errno)                                                                           \
	X(archive_error_string)                                                                    \
	X(archive_filter_code)                                                                     \
	X(archive_filter_count)                                                                    \
	X(archive_read_data_block)                                                                 \
	X(archive_read_free)                                                                       \
	X(archive_read_new)                                                                        \
	X(archive_read_next_header)                                                                \
	X(archive_read_open)                                                                       \
	X(archive_read_support_filter_bzip2)                                                       \
	X(archive_read_support_filter_gzip)                                                        \
	X(archive_read_support_filter_xz)                                                          \
	X(archive_read_support_filter_zstd)                                                        \
	X(archive_read_support_format_tar)                                                         \
	X(archive_set_error)                                                                       \
	X(archive_write_add_filter_gzip)                                                           \
	X(archive_write_add_filter_none)                                                           \
	X(archive_write_add_filter_xz)                                                             \
	X(archive_write_add_filter_zstd)                                                           \
	X(archive_write_close)                                                                     \
	X(archive_write_data)                                                                      \
	X(archive_write_free)                                                                      \
	X(archive_write_header)                                                                    \
	X(archive_write_new)                                                                       \
	X(archive_write_open)                                                                      \
	X(archive_write_set_bytes_in_last_block)                                                   \
	X(archive_write_set_filter_option)                                                         \
	X(archive_write_set_format_option)                                                         \
	X(archive_write_set_format_pax)

/* The functions; NULL before it is loaded. */
extern struct vu_libarchive {
#define VU_LIBARCHIVE_MEMBER(name) __typeof__(name) *name;
	VU_LIBARCHIVE(VU_LIBARCHIVE_MEMBER)
#undef VU_LIBARCHIVE_MEMBER
} vu_libarchive;

#ifndef VU_LIBARCHIVE_ITSELF
#define archive_entry_acl_add_entry (*vu_libarchive.archive_entry_acl_add_entry)
#define archive_entry_acl_count (*vu_libarchive.archive_entry_acl_count)
#define archive_entry_acl_next (*vu_libarchive.archive_entry_acl_next)
#define archive_entry_acl_reset (*vu_libarchive.archive_entry_acl_reset)
#define archive_entry_clear (*vu_libarchive.archive_entry_clear)
#define archive_entry_copy_hardlink (*vu_libarchive.archive_entry_copy_hardlink)
#define archive_entry_copy_pathname (*vu_libarchive.archive_entry_copy_pathname)
#define archive_entry_copy_symlink (*vu_libarchive.archive_entry_copy_symlink)
#define archive_entry_free (*vu_libarchive.archive_entry_free)
#define archive_entry_gid (*vu_libarchive.archive_entry_gid)
#define archive_entry_hardlink (*vu_libarchive.archive_entry_hardlink)
#define archive_entry_mode (*vu_libarchive.archive_entry_mode)
#define archive_entry_mtime (*vu_libarchive.archive_entry_mtime)
#define archive_entry_mtime_is_set (*vu_libarchive.archive_entry_mtime_is_set)
#define archive_entry_mtime_nsec (*vu_libarchive.archive_entry_mtime_nsec)
#define archive_entry_new (*vu_libarchive.archive_entry_new)
#define archive_entry_pathname (*vu_libarchive.archive_entry_pathname)
#define archive_entry_rdevmajor (*vu_libarchive.archive_entry_rdevmajor)
#define archive_entry_rdevminor (*vu_libarchive.archive_entry_rdevminor)
#define archive_entry_set_gid (*vu_libarchive.archive_entry_set_gid)
#define archive_entry_set_mode (*vu_libarchive.archive_entry_set_mode)
#define archive_entry_set_mtime (*vu_libarchive.archive_entry_set_mtime)
#define archive_entry_set_rdev (*vu_libarchive.archive_entry_set_rdev)
#define archive_entry_set_size (*vu_libarchive.archive_entry_set_size)
#define archive_entry_set_uid (*vu_libarchive.archive_entry_set_uid)
#define archive_entry_size (*vu_libarchive.archive_entry_size)
#define archive_entry_sparse_add_entry (*vu_libarchive.archive_entry_sparse_add_entry)
#define archive_entry_symlink (*vu_libarchive.archive_entry_symlink)
#define archive_entry_uid (*vu_libarchive.archive_entry_uid)
#define archive_entry_xattr_add_entry (*vu_libarchive.archive_entry_xattr_add_entry)
#define archive_entry_xattr_next (*vu_libarchive.archive_entry_xattr_next)
#define archive_entry_xattr_reset (*vu_libarchive.archive_entry_xattr_reset)
#define archive_errno (*vu_libarchive.archive_errno)
#define archive_error_string (*vu_libarchive.archive_error_string)
#define archive_filter_code (*vu_libarchive.archive_filter_code)
#define archive_filter_count (*vu_libarchive.archive_filter_count)
#define archive_read_data_block (*vu_libarchive.archive_read_data_block)
#define archive_read_free (*vu_libarchive.archive_read_free)
#define archive_read_new (*vu_libarchive.archive_read_new)
#define archive_read_next_header (*vu_libarchive.archive_read_next_header)
#define archive_read_open (*vu_libarchive.archive_read_open)
#define archive_read_support_filter_bzip2 (*vu_libarchive.archive_read_support_filter_bzip2)
#define archive_read_support_filter_gzip (*vu_libarchive.archive_read_support_filter_gzip)
#define archive_read_support_filter_xz (*vu_libarchive.archive_read_support_filter_xz)
#define archive_read_support_filter_zstd (*vu_libarchive.archive_read_support_filter_zstd)
#define archive_read_support_format_tar (*vu_libarchive.archive_read_support_format_tar)
#define archive_set_error (*vu_libarchive.archive_set_error)
#define archive_write_add_filter_gzip (*vu_libarchive.archive_write_add_filter_gzip)
#define archive_write_add_filter_none (*vu_libarchive.archive_write_add_filter_none)
#define archive_write_add_filter_xz (*vu_libarchive.archive_write_add_filter_xz)
#define archive_write_add_filter_zstd (*vu_libarchive.archive_write_add_filter_zstd)
#define archive_write_close (*vu_libarchive.archive_write_close)
#define archive_write_data (*vu_libarchive.archive_write_data)
#define archive_write_free (*vu_libarchive.archive_write_free)
#define archive_write_header (*vu_libarchive.archive_write_header)
#define archive_write_new (*vu_libarchive.archive_write_new)
#define archive_write_open (*vu_libarchive.archive_write_open)
#define archive_write_set_bytes_in_last_block (*vu_libarchive.archive_write_set_bytes_in_last_block)
#define archive_write_set_filter_option (*vu_libarchive.archive_write_set_filter_option)
#define archive_write_set_format_option (*vu_libarchive.archive_write_set_format_option)
#define archive_write_set_format_pax (*vu_libarchive.archive_write_set_format_pax)
#endif
