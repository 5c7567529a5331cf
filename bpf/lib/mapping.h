/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is mapped at an address of the current task. */
#pragma once

#define VM_WRITE 2
#define VM_EXEC 4
#define VM_GROWSDOWN 0x100

struct mapping {
	u64 start, end, flags;
	struct file *file;
	struct mm_struct *mm;
};

static long note_mapping(struct task_struct *task, struct vm_area_struct *vma, struct mapping *found)
{
	found->start = BPF_CORE_READ(vma, vm_start);
	found->end = BPF_CORE_READ(vma, vm_end);
	found->flags = BPF_CORE_READ(vma, vm_flags);
	found->file = BPF_CORE_READ(vma, vm_file);
	found->mm = BPF_CORE_READ(vma, vm_mm);
	return 0;
}

/*
 * Finds the mapping; 0 if it did. -EBUSY if another thread is changing the mappings. Kernels before 5.17 refuse a program that asks: what can do
 * without leaves it out where it is LEGACY.
 */
static __always_inline long find_mapping(u64 address, struct mapping *found)
{
	return bpf_find_vma(bpf_get_current_task_btf(), address, note_mapping, found, 0);
}
