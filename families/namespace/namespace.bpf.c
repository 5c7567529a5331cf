/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Namespaces and control groups. */

/* ---- changes of namespaces ---- */

struct namespaces {
	u32 mnt, pid, uts, ipc, net, cgroup;
};

/* The namespaces with which a task entered a system call, and which task it was. */
struct ns_before {
	u64 start_time;
	struct namespaces ns;
};

/* Kept and counted as life_cred_before is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct ns_before));
} life_ns_before SEC(".maps");

static __always_inline void namespaces_of(struct namespaces *out, struct nsproxy *proxy)
{
	out->mnt = BPF_CORE_READ(proxy, mnt_ns, ns.inum);
	out->pid = BPF_CORE_READ(proxy, pid_ns_for_children, ns.inum);
	out->uts = BPF_CORE_READ(proxy, uts_ns, ns.inum);
	out->ipc = BPF_CORE_READ(proxy, ipc_ns, ns.inum);
	out->net = BPF_CORE_READ(proxy, net_ns, ns.inum);
	out->cgroup = BPF_CORE_READ(proxy, cgroup_ns, ns.inum);
}

static __always_inline bool same_namespaces(const struct namespaces *a, const struct namespaces *b)
{
	return a->mnt == b->mnt && a->pid == b->pid && a->uts == b->uts && a->ipc == b->ipc && a->net == b->net &&
	       a->cgroup == b->cgroup;
}

static __always_inline void put_switched(struct run *run, const struct namespaces *old, const struct namespaces *new)
{
	put_u32(run, FIELD(switch_task_ns, pid), run->slot->header.pid);
	if (old->mnt != new->mnt)
		put_u32(run, FIELD(switch_task_ns, new_mnt), new->mnt);
	if (old->pid != new->pid)
		put_u32(run, FIELD(switch_task_ns, new_pid), new->pid);
	if (old->uts != new->uts)
		put_u32(run, FIELD(switch_task_ns, new_uts), new->uts);
	if (old->ipc != new->ipc)
		put_u32(run, FIELD(switch_task_ns, new_ipc), new->ipc);
	if (old->net != new->net)
		put_u32(run, FIELD(switch_task_ns, new_net), new->net);
	if (old->cgroup != new->cgroup)
		put_u32(run, FIELD(switch_task_ns, new_cgroup), new->cgroup);
}

SYSCALL_ENTER(switch_task_ns_enter)
{
	struct task_struct *task = call->task;
	u32 tid = bpf_get_current_pid_tgid();
	struct ns_before before;

	before.start_time = FROM_TASK(task, start_boottime);
	namespaces_of(&before.ns, FROM_TASK(task, nsproxy));
	if (bpf_map_update_elem(&life_ns_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

SYSCALL_EXIT(switch_task_ns)
{
	struct task_struct *task = call->task;
	u32 tid = bpf_get_current_pid_tgid();
	struct ns_before *before = bpf_map_lookup_elem(&life_ns_before, &tid);
	struct namespaces now;

	if (!before)
		return; /* entered before the handler of entries stood, or counted there */
	namespaces_of(&now, FROM_TASK(task, nsproxy));
	if (before->start_time == FROM_TASK(task, start_boottime) && !same_namespaces(&before->ns, &now) &&
	    claim_call(run, call, EVENT(switch_task_ns))) {
		put_switched(run, &before->ns, &now);
		submit(run);
	}
	bpf_map_delete_elem(&life_ns_before, &tid);
}

static __always_inline void tell_switch(struct run *run, struct task_struct *task, struct nsproxy *proxy)
{
	struct namespaces old, new;

	/* A task that exits leaves its namespaces for none; it is the only one that can. */
	if (!proxy || BPF_CORE_READ(task, pid) != (u32)bpf_get_current_pid_tgid())
		return;
	namespaces_of(&old, BPF_CORE_READ(task, nsproxy));
	namespaces_of(&new, proxy);
	if (same_namespaces(&old, &new) || !claim(run, EVENT(switch_task_ns)))
		return;
	put_switched(run, &old, &new);
	submit(run);
}

SEC("kprobe/switch_task_namespaces")
int BPF_KPROBE(switch_task_ns__kprobe, struct task_struct *task, struct nsproxy *proxy)
{
	RUN(switch_task_ns__kprobe, tell_switch(&run, task, proxy));
	return 0;
}

/* ---- control groups ---- */

/* Whoever makes them, and whatever the scope: by them user space knows the containers. */
#define PUT_CGROUP(run, event, id, path, hierarchy)                       \
	do {                                                              \
		if (!claim_anyone(run, EVENT(event)))                     \
			break;                                            \
		put_u64(run, FIELD(event, cgroup_id), id);                \
		put_kernel_string(run, FIELD(event, cgroup_path), path);  \
		put_u32(run, FIELD(event, hierarchy_id), hierarchy);      \
		submit(run);                                              \
	} while (0)

static __always_inline void tell_cgroup_made(struct run *run, u64 id, const char *path, u32 hierarchy)
{
	PUT_CGROUP(run, cgroup_mkdir, id, path, hierarchy);
}

static __always_inline void tell_cgroup_removed(struct run *run, u64 id, const char *path, u32 hierarchy)
{
	PUT_CGROUP(run, cgroup_rmdir, id, path, hierarchy);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir__btf, struct cgroup *cgroup, const char *path)
{
	RUN(cgroup_mkdir__btf,
	    tell_cgroup_made(&run, BPF_CORE_READ(cgroup, kn, id), path, BPF_CORE_READ(cgroup, root, hierarchy_id)));
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_rmdir__btf, struct cgroup *cgroup, const char *path)
{
	RUN(cgroup_rmdir__btf,
	    tell_cgroup_removed(&run, BPF_CORE_READ(cgroup, kn, id), path, BPF_CORE_READ(cgroup, root, hierarchy_id)));
	return 0;
}

SEC("tp/cgroup/cgroup_mkdir")
int cgroup_mkdir__perf(struct trace_event_raw_cgroup *ctx)
{
	RUN(cgroup_mkdir__perf, tell_cgroup_made(&run, ctx->id, (const char *)ctx + (ctx->__data_loc_path & 0xffff), ctx->root));
	return 0;
}

SEC("tp/cgroup/cgroup_rmdir")
int cgroup_rmdir__perf(struct trace_event_raw_cgroup *ctx)
{
	RUN(cgroup_rmdir__perf, tell_cgroup_removed(&run, ctx->id, (const char *)ctx + (ctx->__data_loc_path & 0xffff), ctx->root));
	return 0;
}

static __always_inline void tell_attach(struct run *run, const char *path, const char *comm, u32 tid)
{
	if (!claim_anyone(run, EVENT(cgroup_attach_task)))
		return;
	put_kernel_string(run, FIELD(cgroup_attach_task, cgroup_path), path);
	put_kernel_string(run, FIELD(cgroup_attach_task, comm), comm);
	put_u32(run, FIELD(cgroup_attach_task, pid), tid);
	submit(run);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_attach_task__btf, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	RUN(cgroup_attach_task__btf, tell_attach(&run, path, task->comm, BPF_CORE_READ(task, pid)));
	return 0;
}

SEC("tp/cgroup/cgroup_attach_task")
int cgroup_attach_task__perf(struct trace_event_raw_cgroup_migrate *ctx)
{
	RUN(cgroup_attach_task__perf, tell_attach(&run, (const char *)ctx + (ctx->__data_loc_dst_path & 0xffff),
						  (const char *)ctx + (ctx->__data_loc_comm & 0xffff), ctx->pid));
	return 0;
}
