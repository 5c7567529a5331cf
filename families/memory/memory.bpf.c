/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One process reaching into another, and memory that acts as a file. */

/* ---- mapping ---- */

#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define PAGE_SHIFT 12

/* What an mmap was asked for. */
struct mmap_request {
	u64 address, length, prot, flags, page;
	s32 fd;
};

/* The first call of that name in the 32-bit table takes a pointer to its arguments; the later one (mmap2) counts the offset in pages. */
static __always_inline struct mmap_request mmap_request(struct run *run, const struct call *call)
{
	u32 old[6] = {};

	if (call->number == NR_COMPAT_mmap) {
		bpf_probe_read_user(old, sizeof(old), (const void *)call_argument(call, 0));
		return (struct mmap_request){old[0], old[1], old[2], old[3], old[5] >> PAGE_SHIFT, old[4]};
	}
	return (struct mmap_request){
		.address = call_argument(call, 0),
		.length = call_argument(call, 1),
		.prot = call_argument(call, 2),
		.flags = call_argument(call, 3),
		.fd = call_argument(call, 4),
		.page = call->number == NR_COMPAT_mmap2 ? call_argument(call, 5) : call_argument(call, 5) >> PAGE_SHIFT,
	};
}

/* The file that a successful mmap mapped; NULL if it mapped none. */
static __always_inline struct file *mapped_file(const struct call *call, const struct mmap_request *asked)
{
	return asked->flags & MAP_ANONYMOUS ? NULL : file_of_fd(call->task, asked->fd);
}

/* An error is a small negative number; any other value is the address. */
static __always_inline bool is_mapped(const struct call *call)
{
	return call->ret >= 0 || call->ret < -4095;
}

static __always_inline void put_mapped(struct run *run, struct file *file, u64 prot, u64 flags)
{
	PUT_FILE(run, security_mmap_file, file);
	put_u32(run, FIELD(security_mmap_file, flags), BPF_CORE_READ(file, f_flags));
	put_u64(run, FIELD(security_mmap_file, prot), prot);
	put_u64(run, FIELD(security_mmap_file, mmap_flags), flags);
	submit(run);
}

static __always_inline void tell_mmap_file(struct run *run, struct file *file, u64 prot, u64 flags)
{
	if (file && claim(run, EVENT(security_mmap_file)))
		put_mapped(run, file, prot, flags);
}

SEC("lsm/mmap_file")
int BPF_PROG(security_mmap_file__lsm, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	return answer(REFUSES(security_mmap_file__lsm, tell_mmap_file(&run, file, reqprot, flags)));
}

SEC("kprobe/security_mmap_file")
int BPF_KPROBE(security_mmap_file__kprobe, struct file *file, unsigned long prot, unsigned long flags)
{
	RUN(security_mmap_file__kprobe, tell_mmap_file(&run, file, prot, flags));
	return 0;
}

SYSCALL_EXIT(security_mmap_file)
{
	struct mmap_request asked;
	struct file *file;

	if (!is_mapped(call))
		return;
	asked = mmap_request(run, call);
	file = mapped_file(call, &asked);
	if (file && claim_call(run, call, EVENT(security_mmap_file)))
		put_mapped(run, file, asked.prot, asked.flags);
}

SYSCALL_EXIT(do_mmap)
{
	struct mmap_request asked;
	struct file *file;

	if (!is_mapped(call) || !claim_call(run, call, EVENT(do_mmap)))
		return;
	asked = mmap_request(run, call);
	file = mapped_file(call, &asked);
	put_u64(run, FIELD(do_mmap, addr), call->ret);
	put_u64(run, FIELD(do_mmap, len), asked.length);
	put_u64(run, FIELD(do_mmap, prot), asked.prot);
	put_u64(run, FIELD(do_mmap, mmap_flags), asked.flags);
	put_u64(run, FIELD(do_mmap, pgoff), asked.page);
	if (file) {
		PUT_FILE(run, do_mmap, file);
		put_u32(run, FIELD(do_mmap, flags), BPF_CORE_READ(file, f_flags));
	}
	submit(run);
}

/* ---- shared objects ---- */

static __always_inline bool loads_code(u64 prot)
{
	return (prot & (PROT_WRITE | PROT_EXEC)) == PROT_EXEC;
}

static __always_inline void put_object(struct run *run, struct file *file)
{
	PUT_FILE(run, shared_object_loaded, file);
	put_u32(run, FIELD(shared_object_loaded, flags), BPF_CORE_READ(file, f_flags));
	submit(run);
}

/* The program itself and its interpreter are mapped by an execution, and told with it. */
static __always_inline bool is_executing(void)
{
#ifdef LEGACY
	return BPF_CORE_READ_BITFIELD_PROBED((struct task_struct *)bpf_get_current_task(), in_execve);
#else
	struct call call = current_call();

	return CALL_IS(&call, execve) || CALL_IS(&call, execveat);
#endif
}

static __always_inline void tell_object(struct run *run, struct file *file, u64 prot)
{
	if (file && loads_code(prot) && !is_executing() && claim(run, EVENT(shared_object_loaded)))
		put_object(run, file);
}

SEC("lsm/mmap_file")
int BPF_PROG(shared_object_loaded__lsm, struct file *file, unsigned long reqprot)
{
	return answer(REFUSES(shared_object_loaded__lsm, tell_object(&run, file, reqprot)));
}

SEC("kprobe/security_mmap_file")
int BPF_KPROBE(shared_object_loaded__kprobe, struct file *file, unsigned long prot)
{
	RUN(shared_object_loaded__kprobe, tell_object(&run, file, prot));
	return 0;
}

SYSCALL_EXIT(shared_object_loaded)
{
	struct mmap_request asked;
	struct file *file;

	if (!is_mapped(call))
		return;
	asked = mmap_request(run, call);
	file = loads_code(asked.prot) ? mapped_file(call, &asked) : NULL;
	if (file && claim_call(run, call, EVENT(shared_object_loaded)))
		put_object(run, file);
}

/* ---- protection ---- */

static __always_inline u32 prot_of_mapping(u64 flags)
{
	return flags & 7;
}

/* What mprotect was asked for, where the hook does not tell. */
static __always_inline void put_protected_range(struct run *run, const struct call *call, u8 addr, u8 len)
{
	put_u64(run, addr, call_argument(call, 0));
	put_u64(run, len, call_argument(call, 1));
}

static __always_inline u32 protection_key(struct run *run, const struct call *call)
{
	return CALL_IS(call, pkey_mprotect) ? call_argument(call, 3) : ~0u;
}

static __always_inline void put_mapped_file(struct run *run, struct file *file)
{
	put_file_path(run, FIELD(security_file_mprotect, pathname), file);
	put_u64(run, FIELD(security_file_mprotect, ctime), ctime_of(BPF_CORE_READ(file, f_inode)));
}

static __always_inline void tell_mprotect(struct run *run, struct vm_area_struct *vma, u64 prot)
{
	struct file *file = BPF_CORE_READ(vma, vm_file);

	if (!claim(run, EVENT(security_file_mprotect)))
		return;
	if (file)
		put_mapped_file(run, file);
	put_u32(run, FIELD(security_file_mprotect, prot), prot);
	put_u32(run, FIELD(security_file_mprotect, prev_prot), prot_of_mapping(BPF_CORE_READ(vma, vm_flags)));
#ifndef LEGACY
	{
		struct call call = current_call();

		put_protected_range(run, &call, FIELD(security_file_mprotect, addr), FIELD(security_file_mprotect, len));
		put_u32(run, FIELD(security_file_mprotect, pkey), protection_key(run, &call));
	}
#endif
	submit(run);
}

SEC("lsm/file_mprotect")
int BPF_PROG(security_file_mprotect__lsm, struct vm_area_struct *vma, unsigned long reqprot)
{
	return answer(REFUSES(security_file_mprotect__lsm, tell_mprotect(&run, vma, reqprot)));
}

SEC("kprobe/security_file_mprotect")
int BPF_KPROBE(security_file_mprotect__kprobe, struct vm_area_struct *vma, unsigned long reqprot)
{
	RUN(security_file_mprotect__kprobe, tell_mprotect(&run, vma, reqprot));
	return 0;
}

/* At the call's entry: afterwards the protection before is gone. */
SYSCALL_ENTER(security_file_mprotect)
{
	if (!claim_entry(run, call, EVENT(security_file_mprotect)))
		return;
	put_protected_range(run, call, FIELD(security_file_mprotect, addr), FIELD(security_file_mprotect, len));
	put_u32(run, FIELD(security_file_mprotect, prot), call_argument(call, 2));
	put_u32(run, FIELD(security_file_mprotect, pkey), protection_key(run, call));
#ifndef LEGACY
	{
		struct mapping before = {};

		if (!find_mapping(call_argument(call, 0), &before)) {
			put_u32(run, FIELD(security_file_mprotect, prev_prot), prot_of_mapping(before.flags));
			if (before.file)
				put_mapped_file(run, before.file);
		}
	}
#endif
	submit(run);
}

/* ---- alerts ---- */

/* As Tracee numbers them. */
enum mem_prot_alert {
	NO_ALERT = 0,
	ALERT_MAPPED_W_X = 1,
	ALERT_X_ADDED = 2,
	ALERT_W_ADDED_TO_X = 3,
	ALERT_W_TO_X = 4,
};

static __always_inline enum mem_prot_alert alert_of(u32 before, u32 prot)
{
	if (!(prot & PROT_EXEC))
		return NO_ALERT;
	if (before & PROT_WRITE && !(prot & PROT_WRITE))
		return ALERT_W_TO_X;
	if (!(before & PROT_EXEC))
		return ALERT_X_ADDED;
	return !(before & PROT_WRITE) && prot & PROT_WRITE ? ALERT_W_ADDED_TO_X : NO_ALERT;
}

static __always_inline void put_alert(struct run *run, u32 alert, u32 prot, struct file *file)
{
	put_u32(run, FIELD(mem_prot_alert, alert), alert);
	put_u32(run, FIELD(mem_prot_alert, prot), prot);
	if (file)
		PUT_FILE(run, mem_prot_alert, file);
	submit(run);
}

SYSCALL_EXIT(mem_prot_alert_mmap)
{
	struct mmap_request asked;

	if (!is_mapped(call))
		return;
	asked = mmap_request(run, call);
	if ((asked.prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC) ||
	    !claim_call(run, call, EVENT(mem_prot_alert)))
		return;
	put_u64(run, FIELD(mem_prot_alert, addr), call->ret);
	put_u64(run, FIELD(mem_prot_alert, len), asked.length);
	put_alert(run, ALERT_MAPPED_W_X, asked.prot, mapped_file(call, &asked));
}

static __always_inline void tell_protection(struct run *run, struct vm_area_struct *vma, u32 prot)
{
	u32 before = prot_of_mapping(BPF_CORE_READ(vma, vm_flags));
	u32 alert = alert_of(before, prot);

	if (!alert || !claim(run, EVENT(mem_prot_alert)))
		return;
#ifdef LEGACY
	/* The part of the range that is of this mapping is not known, but the mapping is. */
	put_u64(run, FIELD(mem_prot_alert, addr), BPF_CORE_READ(vma, vm_start));
	put_u64(run, FIELD(mem_prot_alert, len), BPF_CORE_READ(vma, vm_end) - BPF_CORE_READ(vma, vm_start));
#else
	{
		struct call call = current_call();

		put_protected_range(run, &call, FIELD(mem_prot_alert, addr), FIELD(mem_prot_alert, len));
	}
#endif
	put_u32(run, FIELD(mem_prot_alert, prev_prot), before);
	put_alert(run, alert, prot, BPF_CORE_READ(vma, vm_file));
}

SEC("lsm/file_mprotect")
int BPF_PROG(mem_prot_alert__lsm, struct vm_area_struct *vma, unsigned long reqprot)
{
	return answer(REFUSES(mem_prot_alert__lsm, tell_protection(&run, vma, reqprot)));
}

SEC("kprobe/security_file_mprotect")
int BPF_KPROBE(mem_prot_alert__kprobe, struct vm_area_struct *vma, unsigned long reqprot)
{
	RUN(mem_prot_alert__kprobe, tell_protection(&run, vma, reqprot));
	return 0;
}

SYSCALL_ENTER(mem_prot_alert_mprotect)
{
	u32 prot = call_argument(call, 2), alert = prot & PROT_EXEC ? ALERT_X_ADDED : NO_ALERT;
	struct mapping before = {};
	bool found = false;

	if (!alert)
		return;
#ifndef LEGACY
	found = !find_mapping(call_argument(call, 0), &before);
	if (found)
		alert = alert_of(prot_of_mapping(before.flags), prot);
#endif
	/* Where the protection before is not known, it may have been made executable, and that is told. */
	if (!alert || !claim_entry(run, call, EVENT(mem_prot_alert)))
		return;
	put_protected_range(run, call, FIELD(mem_prot_alert, addr), FIELD(mem_prot_alert, len));
	if (found)
		put_u32(run, FIELD(mem_prot_alert, prev_prot), prot_of_mapping(before.flags));
	put_alert(run, alert, prot, before.file);
}

/* ---- where calls come from ---- */

#if defined(__TARGET_ARCH_x86)
#define INSTRUCTION_OF(regs) ((regs)->ip)
#define STACK_OF(regs) ((regs)->sp)
#else
#define INSTRUCTION_OF(regs) ((regs)->pc)
#define STACK_OF(regs) ((regs)->sp)
#endif

/* Go's heap, where its goroutines' stacks are, begins here. */
#define GO_HEAP_START 0xc000000000ULL
#define GO_HEAP_END 0xc100000000ULL

enum mapping_kind { UNMAPPED, OF_FILE, VDSO, MAIN_STACK, HEAP, GO_HEAP, THREAD_STACK, ANONYMOUS };

static __always_inline bool contains(const struct mapping *mapping, u64 address)
{
	return address >= mapping->start && address < mapping->end;
}

static __always_inline enum mapping_kind kind_of(const struct mapping *mapping)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = mapping->mm;
	u64 brk_start = BPF_CORE_READ(mm, start_brk), brk_end = BPF_CORE_READ(mm, brk);
	u64 thread_data;

	if (!mapping->end)
		return UNMAPPED;
	if (mapping->file)
		return OF_FILE;
	if (mapping->start == (u64)BPF_CORE_READ(mm, context.vdso))
		return VDSO;
	if (contains(mapping, BPF_CORE_READ(mm, start_stack)) || mapping->flags & VM_GROWSDOWN)
		return MAIN_STACK;
	if (mapping->start < brk_end && mapping->end > brk_start)
		return HEAP;
	if (mapping->start >= GO_HEAP_START && mapping->start < GO_HEAP_END)
		return GO_HEAP;
	/* A thread's own data stands in the mapping of its stack, at its upper end: that is how C libraries make threads. */
#if defined(__TARGET_ARCH_x86)
	thread_data = BPF_CORE_READ(task, thread.fsbase);
#else
	thread_data = BPF_CORE_READ((struct task_struct___arm64 *)task, thread.uw.tp_value);
#endif
	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid) && contains(mapping, thread_data - 1))
		return THREAD_STACK;
	return ANONYMOUS;
}

static __always_inline void put_kind(struct run *run, u8 index, enum mapping_kind kind)
{
	char name[16] = "anonymous";

	if (kind == MAIN_STACK)
		__builtin_memcpy(name, "main stack", 11);
	else if (kind == THREAD_STACK)
		__builtin_memcpy(name, "thread stack", 13);
	else if (kind == HEAP)
		__builtin_memcpy(name, "heap", 5);
	else if (kind == GO_HEAP)
		__builtin_memcpy(name, "golang heap", 12);
	else if (kind == OF_FILE)
		__builtin_memcpy(name, "file", 5);
	else if (kind == VDSO)
		__builtin_memcpy(name, "vdso", 5);
	else if (kind == UNMAPPED)
		__builtin_memcpy(name, "unmapped", 9);
	put_string_at(run->slot, run->max, index, name, FROM_KERNEL);
}

#define PUT_SOURCE(run, call, event, mapping, kind)                                                     \
	do {                                                                                            \
		put_u32(run, FIELD(event, syscall), (call)->number & (COMPAT_BASE - 1));                \
		put_kind(run, FIELD(event, vma_type), kind);                                            \
		if (kind != UNMAPPED) {                                                                 \
			put_u64(run, FIELD(event, vma_start), (mapping).start);                         \
			put_u64(run, FIELD(event, vma_size), (mapping).end - (mapping).start);          \
			put_u64(run, FIELD(event, vma_flags), (mapping).flags);                         \
		}                                                                                       \
		submit(run);                                                                            \
	} while (0)

#define ENOENT 2

/*
 * Where a call comes from is not known: another thread changes the mappings. Counted, where it would be told. That nothing is mapped there is known,
 * and told: the kernel does not ask for a stack.
 */
static __always_inline bool is_lost(struct run *run, const struct call *call, u16 event, u64 address, struct mapping *found)
{
	long error = find_mapping(address, found);

	if (!error || error == -ENOENT)
		return false;
	if (entry_in_scope(run, call, event))
		ledger_count(run, UNTRACKED);
	return true;
}

/* Code that is in no file: written into memory by a compiler while the program runs, or by somebody who broke in. */
SYSCALL_ENTER(suspicious_syscall_source)
{
	u64 ip = INSTRUCTION_OF(call->regs);
	struct mapping source = {};
	enum mapping_kind kind;

	if (is_lost(run, call, EVENT(suspicious_syscall_source), ip, &source))
		return;
	kind = kind_of(&source);
	if (kind == OF_FILE || kind == VDSO || !claim_entry(run, call, EVENT(suspicious_syscall_source)))
		return;
	put_u64(run, FIELD(suspicious_syscall_source, ip), ip);
	PUT_SOURCE(run, call, suspicious_syscall_source, source, kind);
}

/*
 * A stack pointer that points to no stack. What a thread may rightly use besides the stack that it was born with: its stack for signals, and, until it
 * executes, the stack that its maker chose for it (vfork, posix_spawn).
 */
SYSCALL_ENTER(stack_pivot)
{
	u64 sp = STACK_OF(call->regs);
	struct task_struct *task = call->task;
	u64 signal_stack = BPF_CORE_READ(task, sas_ss_sp);
	struct mapping stack = {};
	enum mapping_kind kind;

	if (BPF_CORE_READ(task, vfork_done) ||
	    (signal_stack && sp - signal_stack <= BPF_CORE_READ(task, sas_ss_size)))
		return;
	if (is_lost(run, call, EVENT(stack_pivot), sp, &stack))
		return;
	kind = kind_of(&stack);
	if (kind == MAIN_STACK || kind == THREAD_STACK || kind == GO_HEAP || !claim_entry(run, call, EVENT(stack_pivot)))
		return;
	put_u64(run, FIELD(stack_pivot, sp), sp);
	PUT_SOURCE(run, call, stack_pivot, stack, kind);
}
