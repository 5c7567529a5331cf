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
