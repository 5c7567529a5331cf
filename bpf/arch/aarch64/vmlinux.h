/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The kernel's types on arm64. */
#pragma once

#define __VMLINUX_H__ /* libbpf's headers take registers by the kernel's names */

#include "../../lib/kernel.h"

struct pt_regs {
	u64 regs[31];
	u64 sp, pc, pstate, orig_x0;
	s32 syscallno;
} __attribute__((preserve_access_index));

/* arch/arm64/include/asm/thread_info.h: bit of thread_info.flags for a 32-bit task. */
#define TIF_32BIT 22
