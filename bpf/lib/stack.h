/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The user stack of the current task: the addresses by which it came to the system call (or the fault) that it is in, and what file each of
 * them was mapped from at that moment.
 *
 * The chain of frame pointers is walked here, and not by bpf_get_stack(). That helper builds the chain in a buffer of the CPU and copies it
 * afterwards: where programs can be preempted, another task's stack may stand there by then (kernels before 7.0). This writes to the slot alone,
 * and every program can do it, whatever its type. It takes the same steps: it sees no function that keeps no frame pointer, and
 * where one uses the register for something else, the chain ends.
 *
 * The mapping is looked up here, too: /proc/PID/maps, read later, could tell another.
 */
#pragma once

/* FMODE_BACKING is the one bit or the other, by the kernel's version, and says something else in the other ones. */
#define FMODE_BACKING_OR_NOT (1 << 24 | 1 << 25)
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define FUSE_SUPER_MAGIC 0x65735546

/*
 * The inode of a mapped file as its process knows it: of overlay, not of the file system below. What may be a backing file has one of a
 * stacking file system behind it, or is none.
 */
static __always_inline struct inode *mapped_inode(struct file *file)
{
	struct inode *inode;
	u64 magic;

	if (bpf_core_type_exists(struct backing_file) && BPF_CORE_READ(file, f_mode) & FMODE_BACKING_OR_NOT) {
		inode = BPF_CORE_READ((struct backing_file *)file, user_path.dentry, d_inode);
		magic = BPF_CORE_READ(inode, i_sb, s_magic);
		if (magic == OVERLAYFS_SUPER_MAGIC || magic == FUSE_SUPER_MAGIC)
			return inode;
	}
	return BPF_CORE_READ(file, f_path.dentry, d_inode);
}

#ifndef LEGACY
#define PAGE_BITS_OF_OFFSET 12 /* vm_pgoff counts pages; on arm64 of 4 KiB, as all kernels here */

static long note_code(struct task_struct *task, struct vm_area_struct *vma, struct slot **at)
{
	struct slot *slot = *at;
	struct frame_record *mapping;
	struct inode *inode;
	struct file *file;

	if (!slot)
		return 0;
	mapping = &slot->unwind.mapping;
	mapping->address = BPF_CORE_READ(vma, vm_start);
	slot->unwind.end = BPF_CORE_READ(vma, vm_end);
	slot->unwind.code = !!(BPF_CORE_READ(vma, vm_flags) & VM_EXEC);
	file = BPF_CORE_READ(vma, vm_file);
	if (!slot->unwind.code)
		return 0;
	if (!file) {
		mapping->memory = MEMORY_ANONYMOUS;
		return 0;
	}
	inode = mapped_inode(file);
	mapping->memory = MEMORY_FILE;
	mapping->offset = BPF_CORE_READ(vma, vm_pgoff) << PAGE_BITS_OF_OFFSET;
	mapping->inode = BPF_CORE_READ(inode, i_ino);
	mapping->ctime = ctime_of(inode);
	mapping->dev = dev_of(inode);
	return 0;
}

#define EBUSY 16

/* Puts what is mapped at the address of the next frame into slot->unwind.mapping, if it is not there already. */
static __always_inline void look_up_code(struct slot **at, struct unwind *unwind)
{
	if (unwind->address >= unwind->mapping.address && unwind->address < unwind->end)
		return;
	__builtin_memset(&unwind->mapping, 0, sizeof(unwind->mapping));
	unwind->mapping.memory = MEMORY_NONE;
	unwind->end = 0;
	unwind->code = 0;
	/* Another thread is changing the mappings. */
	if (bpf_find_vma(bpf_get_current_task_btf(), unwind->address, note_code, at, 0) == -EBUSY) {
		unwind->mapping.memory = MEMORY_UNKNOWN;
		unwind->code = 1;
	}
}

#if defined(__TARGET_ARCH_x86)
#define CODE_ADDRESS(value) (value)
#define FRAME_POINTER_OF(regs) ((regs)->bp)
#define ADDRESS_OF(regs) ((regs)->ip)
/* Of user space's two code segments, the one of 32 bits: arch/x86/include/asm/segment.h. */
#define IS_32_BIT(regs) (((regs)->cs & 0xffff) == 0x23)
#else
/* A return address on the stack may be signed in its upper bits. */
#define CODE_ADDRESS(value) ((value) & 0xffffffffffff)
#define FRAME_POINTER_OF(regs) ((regs)->regs[29])
#define ADDRESS_OF(regs) ((regs)->pc)
#define IS_32_BIT(regs) ((regs)->pstate >> 4 & 1)
#endif

static long unwind_step(u32 n, struct slot **at)
{
	struct slot *slot = *at;
	struct frame_record *frame;
	struct unwind *unwind;
	u64 words[2] = {};

	if (!slot)
		return 1;
	unwind = &slot->unwind;
	look_up_code(at, unwind);
	/* No return address: the register was not a frame pointer. */
	if (n && !unwind->code)
		return 1;
	/* For the verifier, which does not know how far bpf_loop() counts. */
	frame = (void *)slot->path + (n * sizeof(*frame) & 0x7f8);
	*frame = unwind->mapping;
	frame->address = unwind->address;
	frame->behind = unwind->behind;
	if (frame->memory == MEMORY_FILE)
		frame->offset += unwind->address - unwind->mapping.address;
	unwind->count = n + 1;
	if (!unwind->frame) {
		unwind->whole = 1;
		return 1;
	}
	if (bpf_probe_read_user(words, unwind->compat ? 8 : 16, (const void *)unwind->frame))
		return 1;
	if (unwind->compat) {
		words[1] = words[0] >> 32;
		words[0] = (u32)words[0];
	}
	if (!words[1]) {
		unwind->whole = 1;
		return 1;
	}
	if (words[0] == unwind->frame)
		return 1;
	unwind->frame = words[0];
	unwind->address = CODE_ADDRESS(words[1]);
	unwind->behind = 1;
	return 0;
}

/* The task is at the first instruction of the program that it has just executed. */
static __always_inline bool is_new_program(const struct record_header *header)
{
	return header->event == EVENT_sched_process_exec ||
	       (header->flags & RECORD_RETURN && !header->ret &&
		(header->syscall == NR_execve || header->syscall == NR_execveat));
}

/* Puts the frames where paths are put together, which is over by now. */
static __noinline int unwind_current(struct slot *slot)
{
	struct pt_regs *regs = current_registers();
	struct unwind *unwind;

	if (!slot)
		return 0;
	unwind = &slot->unwind;
	__builtin_memset(unwind, 0, sizeof(*unwind));
	unwind->address = ADDRESS_OF(regs);
	unwind->compat = IS_32_BIT(regs);
	unwind->frame = unwind->compat ? (u32)FRAME_POINTER_OF(regs) : FRAME_POINTER_OF(regs);
	/* Of a fault the address is that of the instruction itself. */
	unwind->behind = (s32)NUMBER_OF(regs) >= 0 && !is_new_program(&slot->header);
	bpf_loop(STACK_FRAMES, unwind_step, &slot, 0);
	return 0;
}

static __always_inline void put_frames(struct run *run)
{
	const u32 most = STACK_FRAMES * sizeof(struct frame_record);
	struct slot *slot = run->slot;
	u32 used = *(volatile u32 *)&slot->used;
	u32 bytes = *(volatile u32 *)&slot->unwind.count * sizeof(struct frame_record);

	KEEP(used);
	KEEP(bytes);
	/* It is the last field: rather than the event, frames are lost. */
	if (bytes > most || used > run->max - FIELD_HEAD - most || used + FIELD_HEAD + bytes > cfg.limit) {
		put_nothing(run, USER_STACK, QUALITY_TRUNCATED);
		return;
	}
	put_head(slot->data + used, USER_STACK, slot->unwind.whole ? QUALITY_OK : QUALITY_TRUNCATED, bytes);
	bpf_probe_read_kernel(slot->data + used + FIELD_HEAD, bytes, slot->path);
	slot->used = used + FIELD_HEAD + bytes;
}
#endif

/*
 * The user stack of the event's task, where it is the current one and has such. Requests of rings are none of the stack's doing at that time.
 * Programs of cgroups may not ask for mappings, nor may any before 5.17.
 */
static __always_inline void put_user_stack(struct run *run)
{
	struct record_header *header = &run->slot->header;

	if (run->lane > NUMBER_task)
		return;
	if (header->origin != ORIGIN_CURRENT || header->tid != (u32)bpf_get_current_pid_tgid() || header->flags & RECORD_KTHREAD)
		return;
#ifndef LEGACY
	if (run->stack && !(header->flags & RECORD_IO_URING) && FROM_TASK(current_task(), mm)) {
		unwind_current(run->slot);
		put_frames(run);
		return;
	}
#endif
	put_nothing(run, USER_STACK, QUALITY_UNAVAILABLE);
}
