// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
//
// What is the preempt count while a tracepoint program runs? Zero in the lowest byte: the program can be preempted.
//
// The measuring thread is told by its name, which is the same in every PID namespace. It alone writes, one reading
// after another, so plain stores are enough.
typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef unsigned short __u16;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef long long __s64;

enum { BPF_MAP_TYPE_ARRAY = 2 };

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

enum { SYSCALL_BTF, PLAIN_BTF, SYSCALL_PERF, READINGS };

struct reading {
	__u32 runs;   // times the program ran for our thread
	__u32 known;  // times it could read the preempt count
	__u32 low;    // lowest and highest PREEMPT_MASK part seen
	__u32 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, READINGS);
	__type(key, __u32);
	__type(value, struct reading);
} readings SEC(".maps");

struct name {
	__u64 a, b;
};

// Per-CPU variables, as bytes from this CPU's run queue (`runqueues`); 0: not in this kernel.
const volatile struct {
	struct name wanted;
	__s64 preempt_count; // up to 6.1, and from 6.14 on
	__s64 current_task;  // likewise
	__s64 pcpu_hot;      // in between: holds both
} setting = {};

#define PREEMPT_MASK 0xff

#if defined(__TARGET_ARCH_x86)
// A per-CPU variable. Kernels without CONFIG_KALLSYMS_ALL refuse its symbol to programs (ENOENT), so it is found by its
// distance, known from type information, to one that a pointer leads to: the run queue of a task's CPU.
struct rq;
struct cfs_rq {
	struct rq *rq;
} __attribute__((preserve_access_index));
struct sched_entity {
	struct cfs_rq *cfs_rq;
} __attribute__((preserve_access_index));
struct task_struct {
	struct sched_entity se;
} __attribute__((preserve_access_index));
struct pcpu_hot___local {
	void *current_task;
	int preempt_count;
} __attribute__((preserve_access_index));

static __always_inline int preempt_count(__u32 *count)
{
	__u64 task = bpf_get_current_task(), found = 0, queue;
	struct pcpu_hot___local *hot;

	// Both members are there with CONFIG_FAIR_GROUP_SCHED only.
	if (!bpf_core_field_exists(struct cfs_rq, rq) || !bpf_core_field_exists(struct sched_entity, cfs_rq))
		return 0;
	queue = (__u64)BPF_CORE_READ((struct task_struct *)task, se.cfs_rq, rq);
	if (!queue)
		return 0;
	if (setting.preempt_count && setting.current_task) {
		bpf_probe_read_kernel(&found, sizeof(found), (void *)(queue + setting.current_task));
		bpf_probe_read_kernel(count, sizeof(*count), (void *)(queue + setting.preempt_count));
	} else if (setting.pcpu_hot && bpf_core_field_exists(struct pcpu_hot___local, preempt_count)) {
		hot = (void *)(queue + setting.pcpu_hot);
		found = (__u64)BPF_CORE_READ(hot, current_task);
		*count = BPF_CORE_READ(hot, preempt_count);
	}
	// The variable next to it says that the place is right.
	return found == task;
}
#elif defined(__TARGET_ARCH_arm64)
// arm64 keeps it with the thread (since 4.20: count and need_resched side by side).
struct preempt {
	__u32 count;
} __attribute__((preserve_access_index));
struct thread_info {
	struct preempt preempt;
} __attribute__((preserve_access_index));
struct task_struct {
	struct thread_info thread_info;
} __attribute__((preserve_access_index));

static __always_inline int preempt_count(__u32 *count)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return bpf_probe_read_kernel(count, sizeof(*count),
				     __builtin_preserve_access_index(&task->thread_info.preempt.count)) == 0;
}
#else
#error "where does this architecture keep its preempt count?"
#endif

static __always_inline void read_count(__u32 which)
{
	struct name name = {};
	struct reading *reading;
	__u32 count = 0;

	if (bpf_get_current_comm(&name, sizeof(name)) || name.a != setting.wanted.a || name.b != setting.wanted.b)
		return;
	reading = bpf_map_lookup_elem(&readings, &which);
	if (!reading)
		return;
	reading->runs++;
	if (!preempt_count(&count))
		return;
	count &= PREEMPT_MASK;
	if (!reading->known || count < reading->low)
		reading->low = count;
	if (count > reading->high)
		reading->high = count;
	reading->known++;
}

// System call tracepoints may fault since 6.13 and have a path of their own through the kernel.
SEC("tp_btf/sys_enter")
int syscall_btf(void *ctx)
{
	read_count(SYSCALL_BTF);
	return 0;
}

// Fired by wait4(2) before it takes any lock, so that only the tracepoint itself can hold preemption off.
SEC("tp_btf/sched_process_wait")
int plain_btf(void *ctx)
{
	read_count(PLAIN_BTF);
	return 0;
}

// The control: perf runs its tracepoint programs with preemption off on every kernel.
SEC("tracepoint/raw_syscalls/sys_enter")
int syscall_perf(void *ctx)
{
	read_count(SYSCALL_PERF);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
