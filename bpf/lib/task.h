/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who: the identity of a task, as the kernel has it. */
#pragma once

#define PF_KTHREAD 0x00200000

#ifdef LEGACY
#define TASK(task, ...) BPF_CORE_READ(task, __VA_ARGS__)
static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}
#else
/* Loads that the kernel guards, instead of a helper call for each: five times cheaper. */
#define TASK_1(t, a) ((t)->a)
#define TASK_2(t, a, b) ((t)->a->b)
#define TASK_3(t, a, b, c) ((t)->a->b->c)
#define TASK(task, ...) ___apply(TASK_, ___narg(__VA_ARGS__))(task, __VA_ARGS__)
static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task_btf();
}
#endif

/* The number of a task in its own pid namespace. */
static __always_inline u32 pid_in_namespace(const struct pid *pid)
{
	u32 level = BPF_CORE_READ(pid, level);
	struct upid upid = {};

	/* `numbers` has as many elements as the namespace is deep: at most 32 (MAX_PID_NS_LEVEL). */
	bpf_core_read(&upid.nr, sizeof(upid.nr), (const void *)pid + bpf_core_field_offset(pid->numbers) +
							 (level & 31) * bpf_core_type_size(struct upid));
	return upid.nr;
}

static __always_inline u32 pid_namespace_of(const struct pid *pid)
{
	u32 level = BPF_CORE_READ(pid, level);
	struct pid_namespace *ns = NULL;

	bpf_probe_read_kernel(&ns, sizeof(ns), (const void *)pid + bpf_core_field_offset(pid->numbers) +
						       (level & 31) * bpf_core_type_size(struct upid) +
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
	return TASK(task, thread_info.status) & TS_COMPAT;
#else
	return TASK(task, thread_info.flags) >> TIF_32BIT & 1;
#endif
}

/* Fills the header with the identity of a task. */
static __always_inline void put_task(struct record_header *header, struct task_struct *task)
{
	struct pid *pid = TASK(task, thread_pid);
	struct task_struct *leader = TASK(task, group_leader);
	struct task_struct *parent = TASK(task, real_parent);
	const struct cred *cred = TASK(task, cred);
	struct nsproxy *namespaces = TASK(task, nsproxy);

	header->origin = ORIGIN_CURRENT;
	header->start_time = TASK(task, start_boottime);
	header->leader_start_time = BPF_CORE_READ(leader, start_boottime);
	header->parent_start_time = BPF_CORE_READ(parent, group_leader, start_boottime);
	header->cgroup = cgroup_of(task);
	header->pid = TASK(task, tgid);
	header->tid = TASK(task, pid);
	header->ppid = BPF_CORE_READ(parent, tgid);
	header->ns_tid = pid_in_namespace(pid);
	header->ns_pid = header->pid == header->tid ? header->ns_tid :
						      pid_in_namespace(BPF_CORE_READ(leader, thread_pid));
	header->ns_ppid = pid_in_namespace(BPF_CORE_READ(parent, group_leader, thread_pid));
	header->uid = BPF_CORE_READ(cred, uid.val);
	header->gid = BPF_CORE_READ(cred, gid.val);
	header->euid = BPF_CORE_READ(cred, euid.val);
	header->egid = BPF_CORE_READ(cred, egid.val);
	header->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	header->pid_ns = pid_namespace_of(pid);
	header->mnt_ns = BPF_CORE_READ(namespaces, mnt_ns, ns.inum);
	header->net_ns = BPF_CORE_READ(namespaces, net_ns, ns.inum);
	header->uts_ns = BPF_CORE_READ(namespaces, uts_ns, ns.inum);
	header->ipc_ns = BPF_CORE_READ(namespaces, ipc_ns, ns.inum);
	header->cgroup_ns = BPF_CORE_READ(namespaces, cgroup_ns, ns.inum);
	bpf_core_read(header->comm, sizeof(header->comm), &task->comm);
	if (TASK(task, flags) & PF_KTHREAD)
		header->flags |= RECORD_KTHREAD;
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
