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
	u64 trees;

	if (maker == child)
		return;
	trees = trees_of(maker);
	if (trees && bpf_map_update_elem(&scope_tree, &child, &trees, BPF_ANY))
		ledger_count(run, UNTRACKED);
	trees = trees_of(maker | FOLLOWED);
	child |= FOLLOWED;
	if (trees && bpf_map_update_elem(&scope_tree, &child, &trees, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

/* The fields about a process: of its first thread, which has its number. */
#define PUT_PROCESS(run, event, name, from)                                                               \
	do {                                                                                              \
		struct task_struct *first_ = (from);                                                      \
		u32 id_ = BPF_CORE_READ(first_, pid);                                                     \
		u32 own_ = pid_in_namespace(BPF_CORE_READ(first_, thread_pid));                           \
		put_u32(run, FIELD(event, name##_tid), id_);                                              \
		put_u32(run, FIELD(event, name##_ns_tid), own_);                                          \
		put_u32(run, FIELD(event, name##_pid), id_);                                              \
		put_u32(run, FIELD(event, name##_ns_pid), own_);                                          \
		put_u64(run, FIELD(event, name##_start_time), BPF_CORE_READ(first_, start_boottime));     \
	} while (0)

static __always_inline void tell_fork(struct run *run, struct task_struct *child)
{
	struct task_struct *parent = current_task();
	struct task_struct *leader = BPF_CORE_READ(child, group_leader);
	struct task_struct *up = BPF_CORE_READ(child, real_parent, group_leader);
	struct pid *pid = BPF_CORE_READ(child, thread_pid);
	struct record_header *header;
	u32 child_tid = BPF_CORE_READ(child, pid), child_pid = BPF_CORE_READ(child, tgid);
	struct sieve *sieve = sieve_of(EVENT(sched_process_fork));

	if (sieve && sieve->follows && !follow(sieve, classes_of_task(sieve, parent, 0, false), BPF_CORE_READ(parent, tgid)))
		ledger_count(run, UNTRACKED);
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
	PUT_PROCESS(run, sched_process_fork, parent_process, up);
	PUT_PROCESS(run, sched_process_fork, leader, leader);
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
		keep_caller(&life_names, sum_name_of_call(run, name), 0);
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

#define AT_BASE 7
#define AT_SECURE 23
#define AT_MOST 64 /* no kind of value has a higher number */
#define AUXV_PAIRS 24

/* The dynamic loader that the kernel mapped beside the program: what is at that address. */
static __always_inline void put_interpreter(struct run *run, u64 base)
{
#ifndef LEGACY
	struct mapping found = {};
	struct inode *inode;
	struct file *file;

	if (!base || find_mapping(base, &found) || !found.file)
		return;
	file = found.file;
	inode = BPF_CORE_READ(file, f_inode);
	put_file_path(run, FIELD(sched_process_exec, interpreter_pathname), file);
	put_u32(run, FIELD(sched_process_exec, interpreter_dev), dev_of(inode));
	put_u64(run, FIELD(sched_process_exec, interpreter_inode), BPF_CORE_READ(inode, i_ino));
	put_u64(run, FIELD(sched_process_exec, interpreter_ctime), ctime_of(inode));
#endif
}

/* What the kernel tells the program in its auxiliary vector. That of a 32-bit program is of half as long values: it is left out. */
static __always_inline void put_auxv(struct run *run, struct mm_struct *mm)
{
	u64 *auxv = (u64 *)run->slot->path, base = 0, secure = AT_MOST;

	if (bpf_probe_read_kernel(auxv, AUXV_PAIRS * 16, (const void *)mm + bpf_core_field_offset(mm->saved_auxv)) ||
	    auxv[0] >= AT_MOST)
		return;
	for (u32 i = 0; i < AUXV_PAIRS; i++) {
		if (auxv[2 * i] == AT_BASE)
			base = auxv[2 * i + 1];
		if (auxv[2 * i] == AT_SECURE)
			secure = auxv[2 * i + 1];
	}
	if (secure < AT_MOST)
		put_u32(run, FIELD(sched_process_exec, secure), secure != 0);
	put_interpreter(run, base);
}

#define S_ISUID 04000
#define S_ISGID 02000
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define MEMFD 0x3a64666d656dull /* "memfd:" */

/* What kind of file it is that a process may be given to run. */
static __always_inline void put_origin(struct run *run, struct file *file, struct inode *inode)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	bool alone = BPF_CORE_READ(dentry, d_parent) == dentry;
	u32 mode = BPF_CORE_READ(inode, i_mode);
	u64 name = 0;

	put_u32(run, FIELD(sched_process_exec, setuid), (mode & S_ISUID) != 0);
	put_u32(run, FIELD(sched_process_exec, setgid), (mode & S_ISGID) != 0);
	/* The file of a memfd hangs in no directory: a file of that name elsewhere does. */
	if (alone)
		bpf_probe_read_kernel(&name, 6, BPF_CORE_READ(dentry, d_name.name));
	put_u32(run, FIELD(sched_process_exec, memfd), name == MEMFD);
	put_u32(run, FIELD(sched_process_exec, deleted),
		!BPF_CORE_READ(inode, i_nlink) || (!alone && !BPF_CORE_READ(dentry, d_hash.pprev)));
	if (BPF_CORE_READ(inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC) {
		put_u32(run, FIELD(sched_process_exec, upper_layer), 0);
	} else if (bpf_core_type_exists(struct ovl_inode)) {
		struct ovl_inode *in_overlay = (void *)inode - bpf_core_field_offset(struct ovl_inode, vfs_inode);

		put_u32(run, FIELD(sched_process_exec, upper_layer), BPF_CORE_READ(in_overlay, __upperdentry) != NULL);
	}
}

/* By whose login the task came, and at which terminal it is. What is not put is unavailable: nobody's, and none. */
static __always_inline void put_login(struct run *run, struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);
	u32 unset = -1;

	if (bpf_core_field_exists(task->loginuid)) {
		u32 loginuid = BPF_CORE_READ(task, loginuid.val);
		u32 session = BPF_CORE_READ(task, sessionid);

		if (loginuid != unset)
			put_u32(run, FIELD(sched_process_exec, login_uid), loginuid);
		if (session != unset)
			put_u32(run, FIELD(sched_process_exec, login_session), session);
	}
	if (tty)
		put_kernel_string(run, FIELD(sched_process_exec, tty), tty->name);
}

/* By what it now runs, which the record has, too. */
static __always_inline void follow_exec(struct run *run)
{
	struct sieve *sieve = sieve_of(EVENT(sched_process_exec));
	u64 met;

	if (!sieve || !sieve->follows)
		return;
	met = classes_of_task(sieve, current_task(), 0, false);
#ifndef LEGACY
	/* Verifiers before 5.17 take too long to walk through the record twice. */
	met = may_pass(run->slot, sieve, met, false);
#endif
	if (!follow(sieve, met, run->slot->header.pid))
		ledger_count(run, UNTRACKED);
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
	put_auxv(run, mm);
	put_origin(run, file, inode);
	put_before(run, task);
	put_login(run, task);
	put_u32(run, FIELD(sched_process_exec, invoked_from_kernel),
		(BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD) != 0);
	put_cred(run, FIELD(sched_process_exec, new_cred), BPF_CORE_READ(task, real_cred));
	follow_exec(run);
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
	if (last) {
		bpf_map_delete_elem(&scope_tree, &pid);
		pid |= FOLLOWED;
		bpf_map_delete_elem(&scope_tree, &pid);
	}
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
	return answer(REFUSES(security_task_setrlimit__lsm, tell_limit(&run, target, resource, limit)));
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

/* What an execution was asked for: argv and envp, as they stood in the caller's memory when it began. */
struct asked {
	struct record_header header; /* of which only start_time and length count */
	u8 data[BYTES_task];
};

/*
 * One entry for each task that is inside of such a call, by the task's address: its number may become its leader's meanwhile. It is taken away at the
 * call's exit, to which all come, those that are killed too. Not an LRU map: that would drop an entry in use, and say nothing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__uint(key_size, 8);
	__uint(value_size, sizeof(struct asked));
} task_asked SEC(".maps");

#define POINTER_BYTES(call) ((call)->number >= COMPAT_BASE ? 4 : 8)

/* The arguments of execve as the call was made with them; those of execveat stand one further. */
static __always_inline void put_asked(struct run *run, const struct call *call, u8 argv, u8 envp)
{
	bool at = CALL_IS(call, execveat);
	u64 from = forget(run->slot, at ? call_argument(call, 2) : call_argument(call, 1));

	put_user_strings_at(run->slot, run->max, argv, from, POINTER_BYTES(call));
	if (cfg.environment) {
		from = forget(run->slot, at ? call_argument(call, 3) : call_argument(call, 2));
		put_user_strings_at(run->slot, run->max, envp, from, POINTER_BYTES(call));
	}
}

SYSCALL_ENTER(process_execute_failed_enter)
{
	u64 key = bpf_get_current_task();
	struct slot *slot;

	if (!entry_in_scope(run, call, EVENT(process_execute_failed)) || !slot_claim(run))
		return;
	put_asked(run, call, FIELD(process_execute_failed, argv), FIELD(process_execute_failed, envp));
	slot = run->slot;
	slot->header.start_time = FROM_TASK(call->task, start_boottime);
	slot->header.length = slot->used;
	if (slot->too_big || bpf_map_update_elem(&task_asked, &key, &slot->header, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

/* Begins the record with what was kept at the entry. */
static __always_inline void put_kept_asked(struct run *run, const struct asked *asked)
{
	u32 used = asked->header.length;

	KEEP(used);
	if (used > BYTES_task || asked->header.start_time != run->slot->header.start_time)
		return;
	if (!bpf_probe_read_kernel(run->slot->data, used, asked->data))
		run->slot->used = used;
}

SYSCALL_EXIT(process_execute_failed)
{
	u64 name, key = bpf_get_current_task();
	struct asked *asked = bpf_map_lookup_elem(&task_asked, &key);
	bool at = CALL_IS(call, execveat);
	struct file *input;
	s32 folder;

	if (call->ret >= 0 || !claim_call(run, call, EVENT(process_execute_failed)))
		goto out;
	if (asked)
		put_kept_asked(run, asked);
	folder = forget(run->slot, at ? call_argument(call, 0) : (u64)AT_FDCWD);
	name = forget(run->slot, at ? call_argument(call, 1) : call_argument(call, 0));
	put_u32(run, FIELD(process_execute_failed, dirfd), folder);
	put_u32(run, FIELD(process_execute_failed, flags), at ? call_argument(call, 4) : 0);
	put_named_path(run, FIELD(process_execute_failed, pathname), folder, name);
	put_u32(run, FIELD(process_execute_failed, kernel_invoked), 0);
	input = file_of_fd(call->task, 0);
	if (input) {
		put_u32(run, FIELD(process_execute_failed, stdin_type), BPF_CORE_READ(input, f_inode, i_mode) & S_IFMT);
		put_file_path(run, FIELD(process_execute_failed, stdin_path), input);
	}
	submit(run);
out:
	if (asked)
		bpf_map_delete_elem(&task_asked, &key);
}

/* ---- permission to execute ---- */

static __always_inline void tell_bprm(struct run *run, struct linux_binprm *bprm)
{
	struct file *file = BPF_CORE_READ(bprm, file);

	if (!claim(run, EVENT(security_bprm_check)))
		return;
	put_file_path(run, FIELD(security_bprm_check, pathname), file);
	PUT_INODE(run, security_bprm_check, BPF_CORE_READ(file, f_inode));
#ifndef LEGACY
	{
		/* The caller's memory is still there, and the kernel has read it just now. What it calls itself says nothing of these. */
		struct call call = current_call();

		if (CALL_IS(&call, execve) || CALL_IS(&call, execveat))
			put_asked(run, &call, FIELD(security_bprm_check, argv), FIELD(security_bprm_check, envp));
	}
#endif
	submit(run);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(security_bprm_check__lsm, struct linux_binprm *bprm)
{
	return answer(REFUSES(security_bprm_check__lsm, tell_bprm(&run, bprm)));
}

SEC("kprobe/security_bprm_check")
int BPF_KPROBE(security_bprm_check__kprobe, struct linux_binprm *bprm)
{
	RUN(security_bprm_check__kprobe, tell_bprm(&run, bprm));
	return 0;
}

/* Of an execution that was allowed: the new program's own memory has the strings. */
static __always_inline void tell_executed(struct run *run)
{
	struct mm_struct *mm = BPF_CORE_READ(current_task(), mm);
	struct file *file = BPF_CORE_READ(mm, exe_file);

	if (!claim(run, EVENT(security_bprm_check)))
		return;
	put_file_path(run, FIELD(security_bprm_check, pathname), file);
	PUT_INODE(run, security_bprm_check, BPF_CORE_READ(file, f_inode));
	put_words(run, FIELD(security_bprm_check, argv), BPF_CORE_READ(mm, arg_start), BPF_CORE_READ(mm, arg_end));
	if (cfg.environment)
		put_words(run, FIELD(security_bprm_check, envp), BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	submit(run);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(security_bprm_check__btf)
{
	RUN(security_bprm_check__btf, tell_executed(&run));
	return 0;
}

SEC("tp/sched/sched_process_exec")
int security_bprm_check__perf(void *ctx)
{
	RUN(security_bprm_check__perf, tell_executed(&run));
	return 0;
}

/* ---- signals ---- */

#define SIGNALS 64
enum sa_handle_method { SIG_DFL = 0, SIG_IGN = 1, SIG_HND = 2 }; /* as Tracee numbers them */

/* What is done at a signal. */
struct disposition {
	u64 handler, flags, mask;
};

static __always_inline struct disposition disposition_of(const struct k_sigaction *action)
{
	struct disposition is = {
		.handler = (u64)BPF_CORE_READ(action, sa.sa_handler),
		.flags = BPF_CORE_READ(action, sa.sa_flags),
	};

	/* 64 bits on every machine, as one word or as several. */
	bpf_core_read(&is.mask, sizeof(is.mask), &action->sa.sa_mask);
	return is;
}

/* What the current task does at a signal; all zero for none. */
static __always_inline struct disposition current_disposition(u32 sig)
{
	struct sighand_struct *sighand = BPF_CORE_READ(current_task(), sighand);
	u32 place = sig - 1;

	if (place >= SIGNALS)
		return (struct disposition){};
	return disposition_of((const void *)sighand + bpf_core_field_offset(sighand->action) +
			      place * bpf_core_type_size(struct k_sigaction));
}

static __always_inline void put_disposition(struct run *run, const struct disposition *is, u8 flags, u8 mask, u8 method, u8 handler)
{
	put_u64(run, flags, is->flags);
	put_u64(run, mask, is->mask);
	put_u32(run, method, is->handler >= SIG_HND ? SIG_HND : is->handler);
	if (is->handler >= SIG_HND)
		put_u64(run, handler, is->handler);
}

static __always_inline void put_dispositions(struct run *run, u32 sig, const struct disposition *before, const struct disposition *now,
					     bool asks)
{
	put_u32(run, FIELD(do_sigaction, sig), sig);
	put_u32(run, FIELD(do_sigaction, is_sa_initialized), now != NULL);
	if (now)
		put_disposition(run, now, FIELD(do_sigaction, sa_flags), FIELD(do_sigaction, sa_mask),
				FIELD(do_sigaction, sa_handle_method), FIELD(do_sigaction, sa_handler));
	put_u32(run, FIELD(do_sigaction, is_old_sa_initialized), asks);
	if (sig - 1 < SIGNALS)
		put_disposition(run, before, FIELD(do_sigaction, old_sa_flags), FIELD(do_sigaction, old_sa_mask),
				FIELD(do_sigaction, old_sa_handle_method), FIELD(do_sigaction, old_sa_handler));
	submit(run);
}

static __always_inline void tell_sigaction(struct run *run, u32 sig, const struct k_sigaction *act, const void *old)
{
	struct disposition before, now;

	if (!claim(run, EVENT(do_sigaction)))
		return;
	before = current_disposition(sig);
	if (act) {
		now = disposition_of(act);
		put_dispositions(run, sig, &before, &now, old != NULL);
	} else {
		put_dispositions(run, sig, &before, NULL, old != NULL);
	}
}

SEC("kprobe/do_sigaction")
int BPF_KPROBE(do_sigaction__kprobe, int sig, struct k_sigaction *act, struct k_sigaction *old)
{
	RUN(do_sigaction__kprobe, tell_sigaction(&run, sig, act, old));
	return 0;
}

/* What a task did at the signal before the call that it is in; as life_cred_before in families/cred. */
struct signal_before {
	u64 start_time;
	struct disposition is;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct signal_before));
} task_signal_before SEC(".maps");

SYSCALL_ENTER(do_sigaction_enter)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct signal_before before;

	if (!entry_in_scope(run, call, EVENT(do_sigaction)))
		return;
	before.start_time = FROM_TASK(call->task, start_boottime);
	before.is = current_disposition(call_argument(call, 0));
	if (bpf_map_update_elem(&task_signal_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

/* What is done now is what the kernel holds, not what the caller's memory says. */
SYSCALL_EXIT(do_sigaction)
{
	bool plain = call->number == NR_COMPAT_signal;
	u32 tid = bpf_get_current_pid_tgid();
	struct signal_before *before = bpf_map_lookup_elem(&task_signal_before, &tid);
	struct disposition now;
	u32 sig = call_argument(call, 0);

	if (!before)
		return; /* entered before the handler of entries stood, or counted there */
	/* The 32-bit call signal returns the handler from before, which may look like an error. */
	if ((plain || call->ret == 0) && before->start_time == FROM_TASK(call->task, start_boottime) &&
	    claim_call(run, call, EVENT(do_sigaction))) {
		if (plain || call_argument(call, 1)) {
			now = current_disposition(sig);
			put_dispositions(run, sig, &before->is, &now, plain || call_argument(call, 2));
		} else {
			put_dispositions(run, sig, &before->is, NULL, call_argument(call, 2));
		}
	}
	bpf_map_delete_elem(&task_signal_before, &tid);
}

/* ---- switches ---- */

/*
 * Here the run queue is locked and interrupts are off. What this program does besides writing its slot is to look into hash maps, for which nothing is
 * locked, and to copy into the ring, of which the lock spins: where it sleeps (real-time kernels, until Linux 6.12) the sensor does not load it.
 */
static __always_inline void tell_cpu_switch(struct run *run, s32 prev, const void *prev_comm, s32 next, const void *next_comm)
{
	if (!claim(run, EVENT(sched_switch)))
		return;
	put_u32(run, FIELD(sched_switch, cpu), run->slot->header.cpu);
	put_u32(run, FIELD(sched_switch, prev_tid), prev);
	put_kernel_string(run, FIELD(sched_switch, prev_comm), prev_comm);
	put_u32(run, FIELD(sched_switch, next_tid), next);
	put_kernel_string(run, FIELD(sched_switch, next_comm), next_comm);
	submit(run);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch__btf, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	RUN(sched_switch__btf, tell_cpu_switch(&run, prev->pid, prev->comm, next->pid, next->comm));
	return 0;
}

SEC("tp/sched/sched_switch")
int sched_switch__perf(struct trace_event_raw_sched_switch *ctx)
{
	RUN(sched_switch__perf, tell_cpu_switch(&run, ctx->prev_pid, ctx->prev_comm, ctx->next_pid, ctx->next_comm));
	return 0;
}
