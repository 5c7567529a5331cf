/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Credentials and capabilities. */

/* ---- changes ---- */

/* The credentials with which a task entered a system call, and which task it was. */
struct cred_before {
	u64 start_time;
	struct cred_record cred;
};

/*
 * One entry for each task that is inside of such a call: made at its entry, taken away at its exit. A call always comes to its exit,
 * but for one in which the kernel oopses: what that leaves behind belongs to no other task, though it may have its number (start_time).
 * Not an LRU map: that would drop an entry in use, and say nothing. This one refuses what it has no room for, and that is counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct cred_before));
} life_cred_before SEC(".maps");

SYSCALL_ENTER(commit_creds_enter)
{
	struct task_struct *task = call->task;
	u32 tid = bpf_get_current_pid_tgid();
	struct cred_before before;

	before.start_time = FROM_TASK(task, start_boottime);
	put_cred_record(&before.cred, FROM_TASK(task, real_cred));
	if (bpf_map_update_elem(&life_cred_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

/* By value, not by address: a call that commits the same values again changed nothing, and an address may be used again. */
SYSCALL_EXIT(commit_creds)
{
	struct task_struct *task = call->task;
	u32 tid = bpf_get_current_pid_tgid();
	struct cred_before *before = bpf_map_lookup_elem(&life_cred_before, &tid);
	struct cred_record now;

	if (!before)
		return; /* entered before the handler of entries stood, or counted there */
	put_cred_record(&now, FROM_TASK(task, real_cred));
	if (before->start_time == FROM_TASK(task, start_boottime) && !same_cred(&before->cred, &now) &&
	    claim_call(run, call, EVENT(commit_creds))) {
		put_fixed(run, FIELD(commit_creds, old_cred), &before->cred, sizeof(now));
		put_fixed(run, FIELD(commit_creds, new_cred), &now, sizeof(now));
		submit(run);
	}
	bpf_map_delete_elem(&life_cred_before, &tid);
}

static __always_inline void tell_commit(struct run *run, const struct cred *cred)
{
	struct cred_record old, new;

	put_cred_record(&old, FROM_TASK(current_task(), real_cred));
	put_cred_record(&new, cred);
	if (same_cred(&old, &new) || !claim(run, EVENT(commit_creds)))
		return;
	put_fixed(run, FIELD(commit_creds, old_cred), &old, sizeof(old));
	put_fixed(run, FIELD(commit_creds, new_cred), &new, sizeof(new));
	submit(run);
}

/* At its beginning: the task still has the credentials that it is about to lose. */
SEC("kprobe/commit_creds")
int BPF_KPROBE(commit_creds__kprobe, struct cred *cred)
{
	RUN(commit_creds__kprobe, tell_commit(&run, cred));
	return 0;
}

/* ---- changes that nothing asked for ---- */

/*
 * The credentials that a task has while no call of its own changes them: noted when such a call ends, when the task is made, or at the first sight
 * of it; taken away when such a call begins. What it finds other than it was noted was changed in the kernel's memory, as exploits do. An
 * entry is written and read by its own task, and by its maker before it runs. By its address: an execution can change its number.
 */
struct settled_cred {
	u64 start_time;
	struct cred_record cred;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* user space sizes it */
	__uint(key_size, 8);
	__uint(value_size, sizeof(struct settled_cred));
} life_settled_creds SEC(".maps");

static __always_inline void settle(struct run *run, struct task_struct *task)
{
	u64 key = (u64)task;
	struct settled_cred now;

	now.start_time = BPF_CORE_READ(task, start_boottime);
	put_cred_record(&now.cred, BPF_CORE_READ(task, cred));
	if (bpf_map_update_elem(&life_settled_creds, &key, &now, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

/* Notes the credentials of the current task, where they are new; tells where they are not those that were noted. */
static __always_inline void check_settled(struct run *run, const struct call *call)
{
	struct task_struct *task = current_task();
	u64 key = (u64)task;
	struct settled_cred *settled = bpf_map_lookup_elem(&life_settled_creds, &key);
	struct cred_record now;

	if (!settled || settled->start_time != FROM_TASK(task, start_boottime)) {
		settle(run, task);
		return;
	}
	put_cred_record(&now, FROM_TASK(task, cred));
	if (same_cred(&settled->cred, &now))
		return;
	if (call ? claim_entry(run, call, EVENT(creds_overwritten)) : claim(run, EVENT(creds_overwritten))) {
		put_fixed(run, FIELD(creds_overwritten, old_cred), &settled->cred, sizeof(now));
		put_fixed(run, FIELD(creds_overwritten, new_cred), &now, sizeof(now));
		submit(run);
	}
	settled->cred = now;
}

/* An act worth a look. */
SYSCALL_ENTER(creds_overwritten_seen)
{
	check_settled(run, call);
}

/* From here to its end the call may change them. */
SYSCALL_ENTER(creds_overwritten_enter)
{
	u64 key = (u64)call->task;

	check_settled(run, call);
	bpf_map_delete_elem(&life_settled_creds, &key);
}

SYSCALL_EXIT(creds_overwritten_exit)
{
	settle(run, call->task);
}

/* A task that the kernel makes for a program of its own gets other credentials before it executes it. */
static __always_inline void settle_child(struct run *run, struct task_struct *child)
{
	if (!(FROM_TASK(current_task(), flags) & PF_KTHREAD))
		settle(run, child);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(creds_overwritten_fork__btf, struct task_struct *parent, struct task_struct *child)
{
	RUN(creds_overwritten_fork__btf, settle_child(&run, child));
	return 0;
}

SEC("kprobe/wake_up_new_task")
int BPF_KPROBE(creds_overwritten_fork__kprobe, struct task_struct *child)
{
	RUN(creds_overwritten_fork__kprobe, settle_child(&run, child));
	return 0;
}

/* The last look. */
static __always_inline void check_at_end(struct run *run)
{
	u64 key = (u64)current_task();

	if (!bpf_map_lookup_elem(&life_settled_creds, &key))
		return;
	check_settled(run, NULL);
	bpf_map_delete_elem(&life_settled_creds, &key);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(creds_overwritten_end__btf)
{
	RUN(creds_overwritten_end__btf, check_at_end(&run));
	return 0;
}

SEC("tp/sched/sched_process_exit")
int creds_overwritten_end__perf(void *ctx)
{
	RUN(creds_overwritten_end__perf, check_at_end(&run));
	return 0;
}

/* ---- prctl ---- */

/* include/uapi/linux/prctl.h */
enum prctl_option {
	PR_SET_DUMPABLE = 4,
	PR_SET_KEEPCAPS = 8,
	PR_SET_SECCOMP = 22,
	PR_CAPBSET_DROP = 24,
	PR_SET_SECUREBITS = 28,
	PR_SET_MM = 35,
	PR_SET_NO_NEW_PRIVS = 38,
	PR_CAP_AMBIENT = 47,
	PR_SET_PTRACER = 0x59616d61,
};

static __always_inline bool bears_on_rights(u32 option)
{
	switch (option) {
	case PR_SET_DUMPABLE:
	case PR_SET_KEEPCAPS:
	case PR_SET_SECCOMP:
	case PR_CAPBSET_DROP:
	case PR_SET_SECUREBITS:
	case PR_SET_MM:
	case PR_SET_NO_NEW_PRIVS:
	case PR_CAP_AMBIENT:
	case PR_SET_PTRACER:
		return true;
	default:
		return false;
	}
}

SYSCALL_EXIT(security_task_prctl)
{
	u32 option = call_argument(call, 0);

	if (!bears_on_rights(option) || !claim_call(run, call, EVENT(security_task_prctl)))
		return;
	put_u32(run, FIELD(security_task_prctl, option), option);
	put_u64(run, FIELD(security_task_prctl, arg2), call_argument(call, 1));
	put_u64(run, FIELD(security_task_prctl, arg3), call_argument(call, 2));
	put_u64(run, FIELD(security_task_prctl, arg4), call_argument(call, 3));
	put_u64(run, FIELD(security_task_prctl, arg5), call_argument(call, 4));
	submit(run);
}

/* ---- capabilities ---- */

static __always_inline void tell_capable(struct run *run, s32 cap, s32 ret)
{
	if (!claim(run, EVENT(cap_capable)))
		return;
	put_u32(run, FIELD(cap_capable, cap), cap);
	put_u32(run, FIELD(cap_capable, granted), ret == 0);
	submit(run);
}

SEC("tp_btf/cap_capable")
int BPF_PROG(cap_capable__btf, const struct cred *cred, struct user_namespace *target, const struct user_namespace *capable,
	     int cap, int ret)
{
	RUN(cap_capable__btf, tell_capable(&run, cap, ret));
	return 0;
}

SEC("tp/capability/cap_capable")
int cap_capable__perf(struct trace_event_raw_cap_capable *ctx)
{
	RUN(cap_capable__perf, tell_capable(&run, ctx->cap, ctx->ret));
	return 0;
}

static __always_inline void tell_capable_asked(struct run *run, s32 cap)
{
	if (!claim(run, EVENT(cap_capable)))
		return;
	put_u32(run, FIELD(cap_capable, cap), cap);
	submit(run);
}

SEC("kprobe/cap_capable")
int BPF_KPROBE(cap_capable__kprobe, const struct cred *cred, struct user_namespace *target, int cap)
{
	RUN(cap_capable__kprobe, tell_capable_asked(&run, cap));
	return 0;
}
