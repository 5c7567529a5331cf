/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Birth, execution and death of processes. */

#define S_IFMT 0170000
#define SIGNAL_MASK 0x7f

/* ---- fork ---- */

/*
 * A new process is in the watched trees of the task that makes it, before it runs: not in those of its parent, so that CLONE_PARENT
 * does not lead out of a tree.
 */
static __always_inline void grow_trees(struct run *run, u32 maker, u32 child)
{
	u64 trees = maker == child ? 0 : trees_of(maker);

	if (trees && bpf_map_update_elem(&scope_tree, &child, &trees, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

static __always_inline void tell_fork(struct run *run, struct task_struct *child)
{
	struct task_struct *parent = current_task();
	struct task_struct *leader = BPF_CORE_READ(child, group_leader);
	struct task_struct *up = BPF_CORE_READ(child, real_parent, group_leader);
	struct pid *pid = BPF_CORE_READ(child, thread_pid);
	struct record_header *header;
	u32 child_tid = BPF_CORE_READ(child, pid), child_pid = BPF_CORE_READ(child, tgid);

	grow_trees(run, BPF_CORE_READ(parent, tgid), child_pid);
	if (!claim_anyone(run, EVENT(sched_process_fork)))
		return;
	header = &run->slot->header;
	put_u32(run, FIELD(sched_process_fork, parent_tid), header->tid);
	put_u32(run, FIELD(sched_process_fork, parent_ns_tid), header->ns_tid);
	put_u32(run, FIELD(sched_process_fork, parent_pid), header->pid);
	put_u32(run, FIELD(sched_process_fork, parent_ns_pid), header->ns_pid);
	put_u64(run, FIELD(sched_process_fork, parent_start_time), header->start_time);
	put_u32(run, FIELD(sched_process_fork, child_tid), child_tid);
	put_u32(run, FIELD(sched_process_fork, child_ns_tid), pid_in_namespace(pid));
	put_u32(run, FIELD(sched_process_fork, child_pid), child_pid);
	put_u32(run, FIELD(sched_process_fork, child_ns_pid), pid_in_namespace(BPF_CORE_READ(leader, thread_pid)));
	put_u64(run, FIELD(sched_process_fork, start_time), BPF_CORE_READ(child, start_boottime));
	put_u32(run, FIELD(sched_process_fork, clone_thread), child_tid != child_pid);
	put_u64(run, FIELD(sched_process_fork, child_cgroup), cgroup_of(child));
	put_u32(run, FIELD(sched_process_fork, child_pid_ns), pid_namespace_of(pid));
	put_u32(run, FIELD(sched_process_fork, up_pid), BPF_CORE_READ(up, tgid));
	put_u64(run, FIELD(sched_process_fork, up_start_time), BPF_CORE_READ(up, start_boottime));
	submit(run);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sched_process_fork__btf, struct task_struct *parent, struct task_struct *child)
{
	RUN(sched_process_fork__btf, tell_fork(&run, child));
	return 0;
}

/* Called by the creator on the new task, complete but for its first run. */
SEC("kprobe/wake_up_new_task")
int BPF_KPROBE(sched_process_fork__kprobe, struct task_struct *child)
{
	RUN(sched_process_fork__kprobe, tell_fork(&run, child));
	return 0;
}

/* ---- exec ---- */

/* What an execution replaces: kept when it renames the task, which is before it commits the new credentials. */
struct exec_before {
	char comm[COMM_BYTES];
	struct cred_record cred;
	u64 sum; /* over the words before it and the task: see sum_word() */
};
#define BEFORE_WORDS ((COMM_BYTES + sizeof(struct cred_record)) / 8)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct exec_before));
} life_exec_before SEC(".maps");

/* Copies word by word, each read once; gives the sum over them and the task. */
static __always_inline u64 copy_before(struct exec_before *to, const struct exec_before *from, u64 start_time)
{
	u64 sum = start_time;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < BEFORE_WORDS; i++) {
		u64 word = ((const volatile u64 *)from)[i];

		((u64 *)to)[i] = word;
		sum = sum_word(sum, word);
	}
	return sum;
}

static __always_inline void keep_before(const void *comm)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct task_struct *task = current_task();
	struct exec_before before = {};

	bpf_probe_read_kernel(before.comm, sizeof(before.comm), comm);
	put_cred_record(&before.cred, BPF_CORE_READ(task, real_cred));
	before.sum = copy_before(&before, &before, FROM_TASK(task, start_boottime));
	bpf_map_update_elem(&life_exec_before, &tid, &before, BPF_ANY);
}

SEC("tp_btf/task_rename")
int BPF_PROG(exec_before__btf, struct task_struct *task, const char *comm)
{
	RUN(exec_before__btf, keep_before(task->comm));
	return 0;
}

SEC("tp/task/task_rename")
int exec_before__perf(struct trace_event_raw_task_rename *ctx)
{
	RUN(exec_before__perf, keep_before(ctx->oldcomm));
	return 0;
}

/* The name and credentials from before; the credentials only where they are others now. */
static __always_inline void put_before(struct run *run, struct task_struct *task)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct exec_before *kept = bpf_map_lookup_elem(&life_exec_before, &tid);
	struct exec_before before;
	struct cred_record now;

	if (!kept)
		return;
	if (copy_before(&before, kept, FROM_TASK(task, start_boottime)) != *(volatile u64 *)&kept->sum)
		return;
	put_string_at(run->slot, run->max, FIELD(sched_process_exec, prev_comm), before.comm, FROM_KERNEL);
	put_cred_record(&now, BPF_CORE_READ(task, real_cred));
	if (!same_cred(&before.cred, &now))
		put_fixed(run, FIELD(sched_process_exec, old_cred), &before.cred, sizeof(now));
	bpf_map_delete_elem(&life_exec_before, &tid);
}

static __always_inline void put_stdin(struct run *run, struct task_struct *task)
{
	struct file *file = file_of_fd(task, 0);
	u32 type;

	if (!file) {
		put_nothing(run, FIELD(sched_process_exec, stdin_type), QUALITY_UNAVAILABLE);
		put_nothing(run, FIELD(sched_process_exec, stdin_path), QUALITY_UNAVAILABLE);
		return;
	}
	type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;
	put_u32(run, FIELD(sched_process_exec, stdin_type), type);
	put_file_path(run, FIELD(sched_process_exec, stdin_path), file);
}

DEFINE_CALLERS(life_names);

/* Of the calls whose name the kernel takes as it is: by a descriptor it makes one up. */
SYSCALL_ENTER(caller_exec)
{
	u64 name;
	char first = 0;

	if (!slot_claim(run))
		return;
	name = forget(run->slot, CALL_IS(call, execveat) ? call_argument(call, 1) : call_argument(call, 0));
	bpf_probe_read_user(&first, 1, (const void *)name);
	if (CALL_IS(call, execveat) && (s32)call_argument(call, 0) != AT_FDCWD && first != '/')
		caller_of(&life_names);
	else
		keep_caller(&life_names, sum_string(run->slot, name, FROM_USER), 0);
}

/* What stood in the old memory at the entry, against the kernel's copy. Not for a thread that took its leader's place, and number. */
static __always_inline void put_exec_verdict(struct run *run, const char *filename, u32 old_tid)
{
	struct caller before = caller_of(&life_names);
	u64 copied;

	if (old_tid != (u32)bpf_get_current_pid_tgid() || !before.sums[0])
		return;
	copied = sum_string(run->slot, (u64)filename, FROM_KERNEL);
	if (copied)
		put_u32(run, FIELD(sched_process_exec, rewritten), copied != before.sums[0]);
}

static __always_inline void tell_exec(struct run *run, const char *filename, const char *interp, u32 old_tid)
{
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct file *file = BPF_CORE_READ(mm, exe_file);
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (!claim_anyone(run, EVENT(sched_process_exec)))
		return;
	put_kernel_string(run, FIELD(sched_process_exec, cmdpath), filename);
	put_exec_verdict(run, filename, old_tid);
	put_file_path(run, FIELD(sched_process_exec, pathname), file);
	put_u32(run, FIELD(sched_process_exec, dev), dev_of(inode));
	put_u64(run, FIELD(sched_process_exec, inode), BPF_CORE_READ(inode, i_ino));
	put_u64(run, FIELD(sched_process_exec, ctime), ctime_of(inode));
	put_u32(run, FIELD(sched_process_exec, inode_mode), BPF_CORE_READ(inode, i_mode));
	if (interp)
		put_kernel_string(run, FIELD(sched_process_exec, interp), interp);
	put_user_array(run, FIELD(sched_process_exec, argv), BPF_CORE_READ(mm, arg_start), BPF_CORE_READ(mm, arg_end));
	if (cfg.environment)
		put_user_array(run, FIELD(sched_process_exec, env), BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	put_path_at(run->slot, run->max, FIELD(sched_process_exec, pwd), BPF_CORE_READ(task, fs, pwd.dentry),
		    BPF_CORE_READ(task, fs, pwd.mnt));
	put_stdin(run, task);
	put_before(run, task);
	put_u32(run, FIELD(sched_process_exec, invoked_from_kernel),
		(BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD) != 0);
	put_cred(run, FIELD(sched_process_exec, new_cred), BPF_CORE_READ(task, real_cred));
	submit(run);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec__btf, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	RUN(sched_process_exec__btf, tell_exec(&run, bprm->filename, bprm->interp, old_pid));
	return 0;
}

SEC("tp/sched/sched_process_exec")
int sched_process_exec__perf(struct trace_event_raw_sched_process_exec *ctx)
{
	RUN(sched_process_exec__perf,
	    tell_exec(&run, (const char *)ctx + (ctx->__data_loc_filename & 0xffff), NULL, ctx->old_pid));
	return 0;
}

/* ---- exit ---- */

static __always_inline void tell_exit(struct run *run)
{
	struct task_struct *task = current_task();
	s32 code = BPF_CORE_READ(task, exit_code);
	bool last = BPF_CORE_READ(task, signal, live.counter) == 0;
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (claim_anyone(run, EVENT(sched_process_exit))) {
		struct record_header *header = &run->slot->header;

		put_u32(run, FIELD(sched_process_exit, exit_code), code >> 8 & 0xff);
		put_u32(run, FIELD(sched_process_exit, signal_code), code & SIGNAL_MASK);
		put_u32(run, FIELD(sched_process_exit, process_group_exit), last);
		put_u64(run, FIELD(sched_process_exit, duration), header->time - header->start_time);
		submit(run);
	}
	/* After the event itself was decided. */
	if (last && trees_of(pid))
		bpf_map_delete_elem(&scope_tree, &pid);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit__btf)
{
	RUN(sched_process_exit__btf, tell_exit(&run));
	return 0;
}

SEC("tp/sched/sched_process_exit")
int sched_process_exit__perf(void *ctx)
{
	RUN(sched_process_exit__perf, tell_exit(&run));
	return 0;
}

/* ---- what ran before ---- */

static __always_inline void tell_existing(struct run *run, struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file;
	struct slot *slot;
	u32 used;

	if (!task || task->pid != task->tgid || !slot_claim(run))
		return;
	put_header(run, EVENT(existing_process));
	put_task(&run->slot->header, task);
	file = BPF_CORE_READ(task, mm, exe_file);
	if (file)
		put_file_path(run, FIELD(existing_process, pathname), file);
	put_u64(run, FIELD(existing_process, parent_start_time), run->slot->header.parent_start_time);
	slot = run->slot;
	used = *(volatile u32 *)&slot->used;
	KEEP(used);
	if (used > PATH_BYTES + 64)
		return;
	slot->header.length = sizeof(struct record_header) + used;
	slot->header.seq = 0;
	/* Not by a ring: user space reads the iterator's output before it looks at any ring. */
	if (bpf_seq_write(ctx->meta->seq, &slot->header, sizeof(struct record_header) + used) == 0)
		run->outcome = SUBMITTED; /* else the reader's buffer is full, and the kernel asks again for this task */
}

SEC("iter/task")
int existing_process__iter(struct bpf_iter__task *ctx)
{
	RUN(existing_process__iter, tell_existing(&run, ctx));
	return 0;
}

/* ---- names ---- */

static __always_inline void tell_task_rename(struct run *run, const void *before, const void *after)
{
	if (!claim(run, EVENT(task_rename)))
		return;
	put_kernel_string(run, FIELD(task_rename, old_name), before);
	put_kernel_string(run, FIELD(task_rename, new_name), after);
	submit(run);
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename__btf, struct task_struct *task, const char *comm)
{
	RUN(task_rename__btf, tell_task_rename(&run, task->comm, comm));
	return 0;
}

SEC("tp/task/task_rename")
int task_rename__perf(struct trace_event_raw_task_rename *ctx)
{
	RUN(task_rename__perf, tell_task_rename(&run, ctx->oldcomm, ctx->newcomm));
	return 0;
}

/* ---- working directory ---- */

static __always_inline void tell_pwd(struct run *run, const struct path *path)
{
	if (!claim(run, EVENT(set_fs_pwd)))
		return;
	put_path(run, FIELD(set_fs_pwd, resolved_path), path);
#ifndef LEGACY
	{
		struct call call = current_call();

		if (CALL_IS(&call, chdir))
			put_user_string(run, FIELD(set_fs_pwd, unresolved_path), call_argument(&call, 0));
	}
#endif
	submit(run);
}

SEC("kprobe/set_fs_pwd")
int BPF_KPROBE(set_fs_pwd__kprobe, void *fs, const struct path *path)
{
	RUN(set_fs_pwd__kprobe, tell_pwd(&run, path));
	return 0;
}

SYSCALL_EXIT(set_fs_pwd)
{
	struct task_struct *task = call->task;

	if (call->ret || !claim_call(run, call, EVENT(set_fs_pwd)))
		return;
	put_path_at(run->slot, run->max, FIELD(set_fs_pwd, resolved_path), BPF_CORE_READ(task, fs, pwd.dentry),
		    BPF_CORE_READ(task, fs, pwd.mnt));
	if (CALL_IS(call, chdir))
		put_user_string(run, FIELD(set_fs_pwd, unresolved_path), call_argument(call, 0));
	submit(run);
}

/* ---- limits ---- */

static __always_inline void put_limit(struct run *run, u32 resource, u64 cur, u64 max)
{
	put_u32(run, FIELD(security_task_setrlimit, resource), resource);
	put_u64(run, FIELD(security_task_setrlimit, new_rlim_cur), cur);
	put_u64(run, FIELD(security_task_setrlimit, new_rlim_max), max);
	submit(run);
}

static __always_inline void tell_limit(struct run *run, struct task_struct *target, u32 resource, struct rlimit *limit)
{
	if (!claim(run, EVENT(security_task_setrlimit)))
		return;
	put_u32(run, FIELD(security_task_setrlimit, target_host_pid), BPF_CORE_READ(target, tgid));
	put_limit(run, resource, BPF_CORE_READ(limit, rlim_cur), BPF_CORE_READ(limit, rlim_max));
}

SEC("lsm/task_setrlimit")
int BPF_PROG(security_task_setrlimit__lsm, struct task_struct *target, unsigned int resource, struct rlimit *limit)
{
	RUN(security_task_setrlimit__lsm, tell_limit(&run, target, resource, limit));
	return 0;
}

SEC("kprobe/security_task_setrlimit")
int BPF_KPROBE(security_task_setrlimit__kprobe, struct task_struct *target, unsigned int resource, struct rlimit *limit)
{
	RUN(security_task_setrlimit__kprobe, tell_limit(&run, target, resource, limit));
	return 0;
}

/* As the caller's memory has the limit now. The number of another process is the caller's, which is the host's in the first pid namespace only. */
SYSCALL_EXIT(security_task_setrlimit)
{
	bool by_pid = CALL_IS(call, prlimit64);
	u64 limit[2] = {}, from;
	u32 resource, pid;

	if (call->ret || (by_pid && !call_argument(call, 2)) || !claim_call(run, call, EVENT(security_task_setrlimit)))
		return;
	pid = by_pid ? call_argument(call, 0) : 0;
	resource = forget(run->slot, by_pid ? call_argument(call, 1) : call_argument(call, 0));
	from = forget(run->slot, by_pid ? call_argument(call, 2) : call_argument(call, 1));
	if (!pid || pid == run->slot->header.ns_pid)
		put_u32(run, FIELD(security_task_setrlimit, target_host_pid), run->slot->header.pid);
	else if (run->slot->header.ns_pid == run->slot->header.pid)
		put_u32(run, FIELD(security_task_setrlimit, target_host_pid), pid);
	if (call->number == NR_COMPAT_setrlimit) {
		u32 narrow[2] = {};

		if (!bpf_probe_read_user(narrow, sizeof(narrow), (const void *)from))
			put_limit(run, resource, narrow[0], narrow[1]);
		else
			put_u32(run, FIELD(security_task_setrlimit, resource), resource);
	} else if (!bpf_probe_read_user(limit, sizeof(limit), (const void *)from)) {
		put_limit(run, resource, limit[0], limit[1]);
	} else {
		put_u32(run, FIELD(security_task_setrlimit, resource), resource);
	}
	submit(run);
}

/* ---- failed executions ---- */

#define ARGUMENTS 48
#define ARGUMENTS_BYTES 4096

/* Strings to which an array of pointers in the caller's memory leads: argv and envp of a call that failed, so that its memory is still there. */
struct arguments {
	struct slot *slot;
	u64 from;
	u32 base, length, quality, wide;
};

static long argument_step(u32 n, struct arguments *to)
{
	u32 at = to->length;
	struct slot *slot = to->slot;
	u64 string = 0;
	long read;

	if (to->wide == 4)
		read = bpf_probe_read_user(&string, 4, (const void *)(to->from + n * 4));
	else
		read = bpf_probe_read_user(&string, 8, (const void *)(to->from + n * 8));
	if (read) {
		to->quality = QUALITY_FAULTED;
		return 1;
	}
	if (!string)
		return 1;
	if (n == ARGUMENTS - 1 || at >= ARGUMENTS_BYTES - 1) {
		to->quality = QUALITY_TRUNCATED;
		return 1;
	}
	if (!slot)
		return 1;
	at &= ARGUMENTS_BYTES - 1;
	/* In the slot's room for paths, which is of no use to this field. */
	read = bpf_probe_read_user_str(&slot->path[at], NAME_BYTES, (const void *)string);
	if (read <= 0) {
		to->quality = QUALITY_FAULTED;
		return 1;
	}
	if (read == NAME_BYTES)
		to->quality = QUALITY_TRUNCATED;
	to->length = at + read;
	return 0;
}

static __noinline int put_arguments_at(struct slot *slot, u32 max, u32 index, u64 from, u32 wide)
{
	struct arguments to = {.slot = slot, .from = from, .wide = wide};
	u32 length;
	u8 *at;

	if (!slot)
		return 0;
#ifdef LEGACY
	for (u32 n = 0; n < ARGUMENTS; n++)
		if (argument_step(n, &to))
			break;
#else
	bpf_loop(ARGUMENTS, argument_step, &to, 0);
#endif
	at = field_room(slot, max, ARGUMENTS_BYTES + NAME_BYTES + 4);
	if (!at)
		return 0;
	length = to.length;
	KEEP(length);
	if (length > ARGUMENTS_BYTES + NAME_BYTES)
		return 0;
	if (length)
		bpf_probe_read_kernel(at + FIELD_HEAD, length, slot->path);
	close_field(slot, max, index, to.quality, length);
	return 0;
}

SYSCALL_EXIT(process_execute_failed)
{
	bool at = CALL_IS(call, execveat);
	u32 wide = call->number >= COMPAT_BASE ? 4 : 8;
	struct file *input;
	u64 name, argv, envp;
	s32 folder;

	if (call->ret >= 0 || !claim_call(run, call, EVENT(process_execute_failed)))
		return;
	folder = forget(run->slot, at ? call_argument(call, 0) : (u64)AT_FDCWD);
	name = forget(run->slot, at ? call_argument(call, 1) : call_argument(call, 0));
	argv = forget(run->slot, at ? call_argument(call, 2) : call_argument(call, 1));
	envp = forget(run->slot, at ? call_argument(call, 3) : call_argument(call, 2));
	put_u32(run, FIELD(process_execute_failed, dirfd), folder);
	put_u32(run, FIELD(process_execute_failed, flags), at ? call_argument(call, 4) : 0);
	put_named_path(run, FIELD(process_execute_failed, pathname), folder, name);
	put_u32(run, FIELD(process_execute_failed, kernel_invoked), 0);
	input = file_of_fd(call->task, 0);
	if (input) {
		put_u32(run, FIELD(process_execute_failed, stdin_type), BPF_CORE_READ(input, f_inode, i_mode) & S_IFMT);
		put_file_path(run, FIELD(process_execute_failed, stdin_path), input);
	}
	if (argv)
		put_arguments_at(run->slot, run->max, FIELD(process_execute_failed, argv), argv, wide);
	if (envp && cfg.environment)
		put_arguments_at(run->slot, run->max, FIELD(process_execute_failed, envp), envp, wide);
	submit(run);
}
