/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The kernel's types on x86_64. */
#pragma once

#define __VMLINUX_H__ /* libbpf's headers take registers by the kernel's names */

#include "../../lib/kernel.h"

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
} __attribute__((preserve_access_index));

/* arch/x86/include/asm/thread_info.h: the system call came by the 32-bit gate. */
#define TS_COMPAT 0x0002
