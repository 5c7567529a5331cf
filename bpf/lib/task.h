/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who: the identity of a task, as the kernel has it. */
#pragma once

#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000

/*
 * FROM_TASK(task, a, b, c) reads task->a->b->c. On kernels that know a task pointer's type (5.11) by loads that the kernel guards, which
 * are five times cheaper than a helper call for each.
 */
#ifdef LEGACY
/* The pointer by itself: a chain that begins with a member of ours would be relocated as one of the kernel's. */
#define FROM_TASK(task, ...)                              \
	({                                                \
		struct task_struct *from__ = (task);      \
		BPF_CORE_READ(from__, __VA_ARGS__);       \
	})
#define READ(type, from, ...) BPF_CORE_READ(from, __VA_ARGS__)
static __always_inline struct task_struct *walkable(struct task_struct *task)
{
	return task;
}
static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}
#else
#define FROM_1(p, a) ((p)->a)
#define FROM_2(p, a, b) ((p)->a->b)
#define FROM_3(p, a, b, c) ((p)->a->b->c)
#define FROM_4(p, a, b, c, d) ((p)->a->b->c->d)
#define FROM_TASK(task, ...) ___apply(FROM_, ___narg(__VA_ARGS__))(task, __VA_ARGS__)

/* Since 6.2, see walkable(). */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/*
 * The same task, for reading alone: no helper takes it. At each load of a pointer through one that it trusts, the verifier of 6.2 to 6.18 looks for
 * what may be trusted of it by name, four times through all of the kernel's types; what it does not trust, it does not look for. Without this,
 * two thirds of the time that all programs take to load went there, on 6.18.
 */
static __always_inline struct task_struct *walkable(struct task_struct *task)
{
	if (bpf_ksym_exists(bpf_rdonly_cast))
		return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	return task;
}

static __always_inline struct task_struct *current_task(void)
{
	return walkable((struct task_struct *)bpf_get_current_task_btf());
}

/*
 * READ(struct dentry, dentry, d_name.len) is BPF_CORE_READ(dentry, d_name.len) of a pointer that the kernel knows no type of: where it can be
 * told (6.2), without a helper. For what is read at each event, before it is known whether anybody wants it.
 */
#define READ(type, from, ...)                                                                                      \
	({                                                                                                         \
		const type *from__ = (from);                                                                       \
		bpf_ksym_exists(bpf_rdonly_cast) ?                                                                 \
			___apply(FROM_, ___narg(__VA_ARGS__))(                                                     \
				(type *)bpf_rdonly_cast(from__, bpf_core_type_id_kernel(type)), __VA_ARGS__) :     \
			BPF_CORE_READ(from__, __VA_ARGS__);                                                        \
	})

/* What the current task had in its registers when it last entered the kernel. */
static __always_inline struct pt_regs *current_registers(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}
#endif

/*
 * Where the entry of a level stands, behind the first. There are as many as the namespace is deep: at most 32 (MAX_PID_NS_LEVEL), of 16
 * bytes. Verifiers up to 6.1 do not know the bounds of a product, and add nothing without bounds to a pointer: hence the mask.
 */
static __always_inline u64 upid_offset(u32 level)
{
	return (level & 31) * bpf_core_type_size(struct upid) & 0x1ff;
}

/* The number of a task in the pid namespace of that level; 0 if it is not in one so deep. */
static __always_inline u32 pid_at_level(const struct pid *pid, u32 level)
{
	s32 number = 0;

	if (level > BPF_CORE_READ(pid, level))
		return 0;
	bpf_probe_read_kernel(&number, sizeof(number),
			      (const void *)pid + bpf_core_field_offset(pid->numbers) + upid_offset(level) +
				      bpf_core_field_offset(struct upid, nr));
	return number;
}

/* The number of a task in its own pid namespace. */
static __always_inline u32 pid_in_namespace(const struct pid *pid)
{
	return pid_at_level(pid, BPF_CORE_READ(pid, level));
}

static __always_inline u32 pid_namespace_of(const struct pid *pid)
{
	u32 level = BPF_CORE_READ(pid, level);
	struct pid_namespace *ns = NULL;

	bpf_probe_read_kernel(&ns, sizeof(ns),
			      (const void *)pid + bpf_core_field_offset(pid->numbers) + upid_offset(level) +
				      bpf_core_field_offset(struct upid, ns));
	return BPF_CORE_READ(ns, ns.inum);
}

/* The cgroup by which containers are told apart: of cgroup v2, or of the v1 hierarchy that user space chose. */
static __always_inline u64 cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;

	if (cfg.subsys < 0)
		return BPF_CORE_READ(set, dfl_cgrp, kn, id);
	bpf_probe_read_kernel(&state, sizeof(state),
			      (void *)set + bpf_core_field_offset(set->subsys) + (cfg.subsys & 15) * sizeof(state));
	return BPF_CORE_READ(state, cgroup, kn, id);
}

static __always_inline bool is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return FROM_TASK(task, thread_info.status) & TS_COMPAT;
#else
	return FROM_TASK(task, thread_info.flags) >> TIF_32BIT & 1;
#endif
}

/*
 * Fills the header with the identity of a task. A plain pointer, such as one that a walk over kernel objects gave, will not do: the task
 * is current_task(), or what a hook was given.
 */
static __always_inline void put_task(struct record_header *header, struct task_struct *task)
{
	struct pid *pid = FROM_TASK(task, thread_pid);
	u32 level = FROM_TASK(task, thread_pid, level);

	header->origin = ORIGIN_CURRENT;
	header->start_time = FROM_TASK(task, start_boottime);
	header->leader_start_time = FROM_TASK(task, group_leader, start_boottime);
	header->parent_start_time = FROM_TASK(task, real_parent, group_leader, start_boottime);
	header->cgroup = cgroup_of(task);
	header->pid = FROM_TASK(task, tgid);
	header->tid = FROM_TASK(task, pid);
	header->ppid = FROM_TASK(task, real_parent, tgid);
	if (level == 0) {
		/* In the first pid namespace numbers are what they are. */
		header->ns_tid = header->tid;
		header->ns_pid = header->pid;
		header->ns_ppid = header->ppid;
		header->pid_ns = FROM_TASK(task, thread_pid, numbers[0].ns, ns.inum);
	} else {
		header->ns_tid = pid_at_level(pid, level);
		header->ns_pid = pid_at_level(FROM_TASK(task, group_leader, thread_pid), level);
		header->ns_ppid = pid_at_level(FROM_TASK(task, real_parent, group_leader, thread_pid), level);
		header->pid_ns = pid_namespace_of(pid);
	}
	header->uid = FROM_TASK(task, cred, uid.val);
	header->gid = FROM_TASK(task, cred, gid.val);
	header->euid = FROM_TASK(task, cred, euid.val);
	header->egid = FROM_TASK(task, cred, egid.val);
	header->user_ns = FROM_TASK(task, cred, user_ns, ns.inum);
	header->mnt_ns = FROM_TASK(task, nsproxy, mnt_ns, ns.inum);
	header->net_ns = FROM_TASK(task, nsproxy, net_ns, ns.inum);
	header->uts_ns = FROM_TASK(task, nsproxy, uts_ns, ns.inum);
	header->ipc_ns = FROM_TASK(task, nsproxy, ipc_ns, ns.inum);
	header->cgroup_ns = FROM_TASK(task, nsproxy, cgroup_ns, ns.inum);
	bpf_probe_read_kernel(header->comm, sizeof(header->comm), &task->comm);
	header->exec_id = FROM_TASK(task, self_exec_id);
	if (FROM_TASK(task, flags) & PF_KTHREAD)
		header->flags |= RECORD_KTHREAD;
}

/*
 * A worker of io_uring is a thread of the process for which it works, of the kernel's making: in its place stands the thread that submitted. The
 * one that polls a ring takes what any thread has written there: in its place stands the process.
 */
static __always_inline void put_submitter(struct record_header *header, struct task_struct *task)
{
	struct io_worker *worker = BPF_CORE_READ(task, worker_private);
	struct task_struct *submitter;

	if (!worker)
		submitter = BPF_CORE_READ(task, group_leader);
	else if (bpf_core_field_exists(worker->wq))
		submitter = BPF_CORE_READ(worker, wq, task);
	else
		submitter = BPF_CORE_READ((struct io_worker___divided *)worker, wqe, wq, task);
	/* The maker of the workers of a ring that is polled is the thread that polls. */
	if (worker && BPF_CORE_READ(submitter, flags) & PF_IO_WORKER)
		submitter = BPF_CORE_READ(submitter, group_leader);
	if (!submitter || (u32)BPF_CORE_READ(submitter, tgid) != header->pid)
		return;
	header->start_time = BPF_CORE_READ(submitter, start_boottime);
	header->tid = BPF_CORE_READ(submitter, pid);
	header->ns_tid = pid_in_namespace(BPF_CORE_READ(submitter, thread_pid));
	bpf_probe_read_kernel(header->comm, sizeof(header->comm), &submitter->comm);
}

static __always_inline void put_nobody(struct record_header *header, enum origin origin)
{
	__builtin_memset(&header->start_time, 0, sizeof(*header) - __builtin_offsetof(struct record_header, start_time));
	header->origin = origin;
}

static __always_inline void put_cred_record(struct cred_record *out, const struct cred *cred)
{
	out->uid = BPF_CORE_READ(cred, uid.val);
	out->gid = BPF_CORE_READ(cred, gid.val);
	out->suid = BPF_CORE_READ(cred, suid.val);
	out->sgid = BPF_CORE_READ(cred, sgid.val);
	out->euid = BPF_CORE_READ(cred, euid.val);
	out->egid = BPF_CORE_READ(cred, egid.val);
	out->fsuid = BPF_CORE_READ(cred, fsuid.val);
	out->fsgid = BPF_CORE_READ(cred, fsgid.val);
	out->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	out->securebits = BPF_CORE_READ(cred, securebits);
	bpf_core_read(&out->cap_inheritable, 8, &cred->cap_inheritable);
	bpf_core_read(&out->cap_permitted, 8, &cred->cap_permitted);
	bpf_core_read(&out->cap_effective, 8, &cred->cap_effective);
	bpf_core_read(&out->cap_bounding, 8, &cred->cap_bset);
	bpf_core_read(&out->cap_ambient, 8, &cred->cap_ambient);
}

static __always_inline bool same_cred(const struct cred_record *a, const struct cred_record *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < sizeof(*a) / 8; i++)
		if (x[i] != y[i])
			return false;
	return true;
}
