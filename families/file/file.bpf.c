/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Files. At the lsm and kprobe tiers the kernel hands over dentries, and a path is its own. At the exit of a system call there is a
 * descriptor, whose path is the kernel's too, or only the name that the caller gave.
 */

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IALLUGO 07777

#define O_WRONLY 01
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NOCTTY 0400
#define O_TRUNC 01000
#define O_PATH 010000000
/* What the kernel takes out of f_flags once the file is open. */
#define O_ONCE (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC)

/* In f_mode: this open created the file. */
#define FMODE_CREATED 0x100000

#define AT_REMOVEDIR 0x200

#define MS_MGC_MSK 0xffff0000
#define MS_MGC_VAL 0xc0ed0000

static __always_inline bool is_regular(u32 mode)
{
	return (mode & S_IFMT) == S_IFREG;
}

/* What mknod makes: without a type it is a regular file. */
static __always_inline bool makes_regular(u32 mode)
{
	return is_regular(mode) || !(mode & S_IFMT);
}

/*
 * The calls whose names end in "at" take a directory's descriptor before each path. The directory: argument `n` of such a call, for
 * others the working directory.
 */
static __always_inline s32 directory(struct run *run, const struct call *call, bool at, u32 n)
{
	return forget(run->slot, at ? call_argument(call, n) : (u64)AT_FDCWD);
}

/* Argument `n` of such a call, `plain` of others. */
static __always_inline u64 argument(struct run *run, const struct call *call, bool at, u32 n, u32 plain)
{
	return forget(run->slot, at ? call_argument(call, n) : call_argument(call, plain));
}

/* ---- open ---- */

/* Where the caller's memory has the name that an opening call was given; 0 if the call has none. */
static __always_inline u64 name_to_open(const struct call *call)
{
	if (CALL_IS(call, open) || CALL_IS(call, creat))
		return call_argument(call, 0);
	if (CALL_IS(call, openat) || CALL_IS(call, openat2))
		return call_argument(call, 1);
	return 0;
}

/* The flags that an opening call was given. */
static __always_inline u32 flags_to_open(const struct call *call)
{
	u64 flags = 0;

	if (CALL_IS(call, open))
		return call_argument(call, 1);
	if (CALL_IS(call, openat) || CALL_IS(call, open_by_handle_at))
		return call_argument(call, 2);
	if (CALL_IS(call, creat))
		return O_CREAT | O_WRONLY | O_TRUNC;
	/* openat2: the first member of struct open_how. */
	bpf_probe_read_user(&flags, sizeof(flags), (const void *)call_argument(call, 2));
	return flags;
}

/* False if nobody wants it, by its path. */
static __always_inline bool put_opened_path(struct run *run, struct file *file, u32 flags)
{
	put_file_path(run, FIELD(security_file_open, pathname), file);
	put_u32(run, FIELD(security_file_open, flags), flags);
	return may_be_wanted(run);
}

static __always_inline void put_opened_inode(struct run *run, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	put_u32(run, FIELD(security_file_open, mode), BPF_CORE_READ(inode, i_mode));
	put_u32(run, FIELD(security_file_open, dev), dev_of(inode));
	put_u64(run, FIELD(security_file_open, inode), BPF_CORE_READ(inode, i_ino));
	put_u64(run, FIELD(security_file_open, ctime), ctime_of(inode));
}

/*
 * While the kernel opens a file, the task has what it walks by, and in it the kernel's copy of the caller's name. Told where a system call
 * or a ring's request named the file, not where the kernel opens one of its own accord, as for an execution.
 */
static __always_inline void put_copied_name(struct run *run, u64 name)
{
	const char *copy = BPF_CORE_READ(current_task(), nameidata, name, name);
	u64 sum, now;

	if (!copy || !(name || run->slot->header.flags & RECORD_IO_URING))
		return;
	put_kernel_string(run, FIELD(security_file_open, syscall_pathname), copy);
	if (!name)
		return;
	sum = sum_string(run->slot, (u64)copy, FROM_KERNEL);
	now = sum_string(run->slot, name, FROM_USER);
	if (sum && now)
		put_u32(run, FIELD(security_file_open, rewritten), sum != now);
}

/*
 * Of a file that the kernel opens for itself, as the one beneath a file of an overlay (Linux 5.10 to 7.3). Its path is the layer's, or a second
 * time the overlay's (before 6.5).
 */
#define FMODE_NOACCOUNT (1 << 29)

static __always_inline void tell_open(struct run *run, struct file *file)
{
	if (BPF_CORE_READ(file, f_mode) & FMODE_NOACCOUNT || !claim_unnamed(run, EVENT(security_file_open)))
		return;
	if (!put_opened_path(run, file, BPF_CORE_READ(file, f_flags)))
		return;
	put_actor(run);
	put_opened_inode(run, file);
#ifndef LEGACY
	{
		struct pt_regs *regs = current_registers();
		struct call call = call_by_btf(regs, 0);

		put_copied_name(run, forget(run->slot, name_to_open(&call)));
	}
#endif
	submit(run);
}

SEC("lsm/file_open")
int BPF_PROG(security_file_open__lsm, struct file *file)
{
	return answer(REFUSES(security_file_open__lsm, tell_open(&run, file)));
}

SEC("kprobe/security_file_open")
int BPF_KPROBE(security_file_open__kprobe, struct file *file)
{
	RUN(security_file_open__kprobe, tell_open(&run, file));
	return 0;
}

DEFINE_CALLERS(task_names);

/* Keeps what the caller's memory says at the entry of a call. */
SYSCALL_ENTER(caller_open)
{
	if (entry_in_scope(run, call, EVENT(security_file_open)))
		keep_caller(&task_names, sum_name_of_call(run, name_to_open(call)), 0);
}

/* The verdict is on the name that is told. */
static __always_inline void put_name_and_verdict(struct run *run, u64 name, u32 path)
{
	u32 told = *(volatile u32 *)&run->slot->used;
	u64 before = caller_of(&task_names).sums[0];

	put_user_string(run, FIELD(security_file_open, syscall_pathname), name);
	KEEP(told);
	if (told < COMPARED_BYTES && path != NO_FIELD)
		put_verdict(run, FIELD(security_file_open, rewritten),
			    verdict_on(run->slot, (u64)(run->slot->data + told + FIELD_HEAD), FROM_KERNEL, before, path));
}

SYSCALL_EXIT(security_file_open)
{
	u32 offset;
	struct file *file;
	u64 name;
	u32 flags;

	if (call->ret < 0 || !claim_call_unnamed(run, call, EVENT(security_file_open)))
		return;
	flags = forget(run->slot, flags_to_open(call));
	name = forget(run->slot, name_to_open(call));
	file = file_of_fd(call->task, call->ret);
	offset = run->slot->used;
	/* None if another thread has closed it by now. */
	if (file && !put_opened_path(run, file, BPF_CORE_READ(file, f_flags) | (flags & O_ONCE)))
		return;
	put_caller(run, call);
	if (file)
		put_opened_inode(run, file);
	if (name)
		put_name_and_verdict(run, name, file ? offset : NO_FIELD);
	submit(run);
}

/* ---- create ---- */

static __always_inline void put_create(struct run *run, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	put_file_path(run, FIELD(security_inode_create, pathname), file);
	put_u32(run, FIELD(security_inode_create, mode), BPF_CORE_READ(inode, i_mode));
	put_u32(run, FIELD(security_inode_create, dev), dev_of(inode));
	put_u64(run, FIELD(security_inode_create, inode), BPF_CORE_READ(inode, i_ino));
}

/*
 * By the open of the new file. The hooks that are named after creation (path_mknod, inode_create) also run for an open with O_CREAT of
 * a file that exists but is not cached: the kernel asks for permission before it looks the name up.
 */
static __always_inline void tell_create(struct run *run, struct file *file)
{
	if (!(BPF_CORE_READ(file, f_mode) & FMODE_CREATED) || !claim(run, EVENT(security_inode_create)))
		return;
	put_create(run, file);
	submit(run);
}

SEC("lsm/file_open")
int BPF_PROG(security_inode_create__lsm, struct file *file)
{
	return answer(REFUSES(security_inode_create__lsm, tell_create(&run, file)));
}

SEC("kprobe/security_file_open")
int BPF_KPROBE(security_inode_create__kprobe, struct file *file)
{
	RUN(security_inode_create__kprobe, tell_create(&run, file));
	return 0;
}

SYSCALL_EXIT(security_inode_create)
{
	struct file *file;

	if (call->ret < 0)
		return;
	file = file_of_fd(call->task, call->ret);
	if (!(BPF_CORE_READ(file, f_mode) & FMODE_CREATED) || !claim_call(run, call, EVENT(security_inode_create)))
		return;
	put_create(run, file);
	submit(run);
}

static __always_inline u32 mode_to_make(const struct call *call)
{
	return (umode_t)(CALL_IS(call, mknodat) ? call_argument(call, 2) : call_argument(call, 1));
}

SYSCALL_EXIT(security_inode_create_mknod)
{
	bool at = CALL_IS(call, mknodat);
	u32 mode = mode_to_make(call);

	if (call->ret || !makes_regular(mode) || !claim_call(run, call, EVENT(security_inode_create)))
		return;
	put_named_path(run, FIELD(security_inode_create, pathname), directory(run, call, at, 0), argument(run, call, at, 1, 0));
	put_u32(run, FIELD(security_inode_create, mode), mode | S_IFREG);
	submit(run);
}

/* ---- mknod ---- */

static __always_inline void put_mknod(struct run *run, u32 mode, u32 dev)
{
	put_u32(run, FIELD(security_inode_mknod, mode), mode);
	/* As user space numbers it, at every tier. */
	put_u32(run, FIELD(security_inode_mknod, dev), dev);
}

static __always_inline void tell_mknod(struct run *run, const struct path *directory, struct dentry *dentry, umode_t mode,
				       u32 dev)
{
	if (makes_regular(mode) || !claim(run, EVENT(security_inode_mknod)))
		return;
	put_path_of(run, FIELD(security_inode_mknod, file_name), directory, dentry);
	put_mknod(run, mode, dev);
	submit(run);
}

SEC("lsm/path_mknod")
int BPF_PROG(security_inode_mknod__lsm, const struct path *directory, struct dentry *dentry, umode_t mode, unsigned int dev)
{
	return answer(REFUSES(security_inode_mknod__lsm, tell_mknod(&run, directory, dentry, mode, dev)));
}

SEC("kprobe/security_path_mknod")
int BPF_KPROBE(security_inode_mknod__kprobe, const struct path *directory, struct dentry *dentry, umode_t mode,
	       unsigned int dev)
{
	RUN(security_inode_mknod__kprobe, tell_mknod(&run, directory, dentry, mode, dev));
	return 0;
}

SYSCALL_EXIT(security_inode_mknod)
{
	bool at = CALL_IS(call, mknodat);
	u32 mode = mode_to_make(call);

	if (call->ret || makes_regular(mode) || !claim_call(run, call, EVENT(security_inode_mknod)))
		return;
	put_mknod(run, mode, argument(run, call, at, 3, 2));
	put_named_path(run, FIELD(security_inode_mknod, file_name), directory(run, call, at, 0), argument(run, call, at, 1, 0));
	submit(run);
}

/* ---- unlink and rmdir ---- */

/* Where the caller's memory has the name that a call removes; 0 if it is no such call. */
static __always_inline u64 name_to_remove(const struct call *call)
{
	if (CALL_IS(call, unlink))
		return call_argument(call, 0);
	return CALL_IS(call, unlinkat) ? call_argument(call, 1) : 0;
}

SYSCALL_ENTER(caller_unlink)
{
	if (entry_in_scope(run, call, EVENT(security_inode_unlink)))
		keep_caller(&task_names, sum_name_of_call(run, name_to_remove(call)), 0);
}

static __always_inline void tell_unlink(struct run *run, const struct path *directory, struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	if (!claim(run, EVENT(security_inode_unlink)))
		return;
	put_path_of(run, FIELD(security_inode_unlink, pathname), directory, dentry);
#ifndef LEGACY
	{
		struct call call = call_by_btf(current_registers(), 0);
		u64 name = forget(run->slot, name_to_remove(&call));

		if (name)
			put_verdict(run, FIELD(security_inode_unlink, rewritten),
				    verdict_on(run->slot, name, FROM_USER, caller_of(&task_names).sums[0], OWN_NAME));
	}
#endif
	put_u64(run, FIELD(security_inode_unlink, inode), BPF_CORE_READ(inode, i_ino));
	put_u32(run, FIELD(security_inode_unlink, dev), dev_of(inode));
	put_u64(run, FIELD(security_inode_unlink, ctime), ctime_of(inode));
	submit(run);
}

SEC("lsm/path_unlink")
int BPF_PROG(security_inode_unlink__lsm, const struct path *directory, struct dentry *dentry)
{
	return answer(REFUSES(security_inode_unlink__lsm, tell_unlink(&run, directory, dentry)));
}

SEC("kprobe/security_path_unlink")
int BPF_KPROBE(security_inode_unlink__kprobe, const struct path *directory, struct dentry *dentry)
{
	RUN(security_inode_unlink__kprobe, tell_unlink(&run, directory, dentry));
	return 0;
}

static __always_inline bool removes_directory(const struct call *call)
{
	return CALL_IS(call, rmdir) || (CALL_IS(call, unlinkat) && call_argument(call, 2) & AT_REMOVEDIR);
}

static __always_inline void put_removed(struct run *run, const struct call *call, u8 index)
{
	bool at = CALL_IS(call, unlinkat);

	put_named_path(run, index, directory(run, call, at, 0), argument(run, call, at, 1, 0));
}

/* Where the kernel's own path is not to be had: whether the memory has changed since the entry, of either name where there are two. */
static __always_inline void put_change(struct run *run, u8 index, u64 first, u64 second)
{
	struct caller before = caller_of(&task_names);
	u64 now = sum_string(run->slot, first, FROM_USER);
	bool changed = before.sums[0] && now && now != before.sums[0];

	if (second) {
		now = sum_string(run->slot, second, FROM_USER);
		changed |= before.sums[1] && now && now != before.sums[1];
	}
	put_verdict(run, index, changed ? REWRITTEN : UNDECIDED);
}

SYSCALL_EXIT(security_inode_unlink)
{
	if (call->ret || removes_directory(call) || !claim_call(run, call, EVENT(security_inode_unlink)))
		return;
	put_removed(run, call, FIELD(security_inode_unlink, pathname));
	put_change(run, FIELD(security_inode_unlink, rewritten), forget(run->slot, name_to_remove(call)), 0);
	submit(run);
}

static __always_inline void tell_rmdir(struct run *run, const struct path *directory, struct dentry *dentry)
{
	if (!claim(run, EVENT(security_inode_rmdir)))
		return;
	put_path_of(run, FIELD(security_inode_rmdir, pathname), directory, dentry);
	submit(run);
}

SEC("lsm/path_rmdir")
int BPF_PROG(security_inode_rmdir__lsm, const struct path *directory, struct dentry *dentry)
{
	return answer(REFUSES(security_inode_rmdir__lsm, tell_rmdir(&run, directory, dentry)));
}

SEC("kprobe/security_path_rmdir")
int BPF_KPROBE(security_inode_rmdir__kprobe, const struct path *directory, struct dentry *dentry)
{
	RUN(security_inode_rmdir__kprobe, tell_rmdir(&run, directory, dentry));
	return 0;
}

SYSCALL_EXIT(security_inode_rmdir)
{
	if (call->ret || !removes_directory(call) || !claim_call(run, call, EVENT(security_inode_rmdir)))
		return;
	put_removed(run, call, FIELD(security_inode_rmdir, pathname));
	submit(run);
}

/* ---- rename ---- */

SYSCALL_ENTER(caller_rename)
{
	bool at = !CALL_IS(call, rename);
	u64 old, new;

	if (!entry_in_scope(run, call, EVENT(security_inode_rename)) || !slot_claim(run))
		return;
	old = argument(run, call, at, 1, 0);
	new = argument(run, call, at, 3, 1);
	keep_caller(&task_names, sum_name_of_call(run, old), sum_name_of_call(run, new));
}

/* The kernel's paths stand in the fields at those offsets. */
static __always_inline void put_verdict_on_rename(struct run *run, u32 old_offset, u32 new_offset)
{
#ifndef LEGACY
	struct call call = call_by_btf(current_registers(), 0);
	bool at = CALL_IS(&call, renameat) || CALL_IS(&call, renameat2);
	struct caller before;
	u32 old, new;

	if (!at && !CALL_IS(&call, rename))
		return;
	before = caller_of(&task_names);
	old = verdict_on(run->slot, argument(run, &call, at, 1, 0), FROM_USER, before.sums[0], old_offset | OWN_NAME);
	new = verdict_on(run->slot, argument(run, &call, at, 3, 1), FROM_USER, before.sums[1], new_offset | OWN_NAME);
	put_verdict(run, FIELD(security_inode_rename, rewritten),
		    old == REWRITTEN || new == REWRITTEN ? REWRITTEN : old | new);
#endif
}

static __always_inline void tell_rename(struct run *run, const struct path *old_directory, struct dentry *old,
					const struct path *new_directory, struct dentry *new)
{
	u32 first = run->slot->used, second;

	put_path_of(run, FIELD(security_inode_rename, old_path), old_directory, old);
	second = run->slot->used;
	put_path_of(run, FIELD(security_inode_rename, new_path), new_directory, new);
	put_verdict_on_rename(run, first, second);
	submit(run);
}

/* The hook as it is since 5.19; before, it had no flags, and reading an argument more would read its return value. */
union security_list_options___with_rename_flags {
	int (*path_rename)(const struct path *, struct dentry *, const struct path *, struct dentry *, unsigned int);
};

SEC("lsm/path_rename")
int security_inode_rename__lsm(u64 *ctx)
{
	struct run run = RUN_OF(security_inode_rename__lsm);

	run_begin(&run);
	if (claim(&run, EVENT(security_inode_rename))) {
		if (bpf_core_type_matches(union security_list_options___with_rename_flags))
			put_u32(&run, FIELD(security_inode_rename, flags), ctx[4]);
		tell_rename(&run, (void *)ctx[0], (void *)ctx[1], (void *)ctx[2], (void *)ctx[3]);
	}
	run_end(&run);
	return answer(run.deny);
}

static __always_inline void tell_rename_with(struct run *run, const struct path *old_directory, struct dentry *old,
					     const struct path *new_directory, struct dentry *new, u32 flags)
{
	if (!claim(run, EVENT(security_inode_rename)))
		return;
	put_u32(run, FIELD(security_inode_rename, flags), flags);
	tell_rename(run, old_directory, old, new_directory, new);
}

SEC("kprobe/security_path_rename")
int BPF_KPROBE(security_inode_rename__kprobe, const struct path *old_directory, struct dentry *old,
	       const struct path *new_directory, struct dentry *new, unsigned int flags)
{
	RUN(security_inode_rename__kprobe, tell_rename_with(&run, old_directory, old, new_directory, new, flags));
	return 0;
}

SYSCALL_EXIT(security_inode_rename)
{
	bool at = !CALL_IS(call, rename);
	s32 old_directory, new_directory;
	u64 old, new;

	if (call->ret || !claim_call(run, call, EVENT(security_inode_rename)))
		return;
	put_u32(run, FIELD(security_inode_rename, flags), CALL_IS(call, renameat2) ? call_argument(call, 4) : 0);
	old_directory = directory(run, call, at, 0);
	old = argument(run, call, at, 1, 0);
	new_directory = directory(run, call, at, 2);
	new = argument(run, call, at, 3, 1);
	put_named_path(run, FIELD(security_inode_rename, old_path), old_directory, old);
	put_named_path(run, FIELD(security_inode_rename, new_path), new_directory, new);
	put_change(run, FIELD(security_inode_rename, rewritten), old, new);
	submit(run);
}

/* ---- links ---- */

static __always_inline void tell_link(struct run *run, struct dentry *old, const struct path *directory, struct dentry *new)
{
	if (!claim(run, EVENT(security_inode_link)))
		return;
	/* Both are on one mount: the kernel has refused links across two. */
	put_path_of(run, FIELD(security_inode_link, old_path), directory, old);
	put_path_of(run, FIELD(security_inode_link, new_path), directory, new);
	submit(run);
}

SEC("lsm/path_link")
int BPF_PROG(security_inode_link__lsm, struct dentry *old, const struct path *directory, struct dentry *new)
{
	return answer(REFUSES(security_inode_link__lsm, tell_link(&run, old, directory, new)));
}

SEC("kprobe/security_path_link")
int BPF_KPROBE(security_inode_link__kprobe, struct dentry *old, const struct path *directory, struct dentry *new)
{
	RUN(security_inode_link__kprobe, tell_link(&run, old, directory, new));
	return 0;
}

SYSCALL_EXIT(security_inode_link)
{
	bool at = !CALL_IS(call, link);
	s32 old_directory, new_directory;
	u64 old, new;

	if (call->ret || !claim_call(run, call, EVENT(security_inode_link)))
		return;
	old_directory = directory(run, call, at, 0);
	old = argument(run, call, at, 1, 0);
	new_directory = directory(run, call, at, 2);
	new = argument(run, call, at, 3, 1);
	put_named_path(run, FIELD(security_inode_link, old_path), old_directory, old);
	put_named_path(run, FIELD(security_inode_link, new_path), new_directory, new);
	submit(run);
}

static __always_inline void tell_symlink(struct run *run, const struct path *directory, struct dentry *dentry,
					 const char *target)
{
	if (!claim(run, EVENT(security_inode_symlink)))
		return;
	put_path_of(run, FIELD(security_inode_symlink, linkpath), directory, dentry);
	put_kernel_string(run, FIELD(security_inode_symlink, target), target);
	submit(run);
}

SEC("lsm/path_symlink")
int BPF_PROG(security_inode_symlink__lsm, const struct path *directory, struct dentry *dentry, const char *target)
{
	return answer(REFUSES(security_inode_symlink__lsm, tell_symlink(&run, directory, dentry, target)));
}

SEC("kprobe/security_path_symlink")
int BPF_KPROBE(security_inode_symlink__kprobe, const struct path *directory, struct dentry *dentry, const char *target)
{
	RUN(security_inode_symlink__kprobe, tell_symlink(&run, directory, dentry, target));
	return 0;
}

SYSCALL_EXIT(security_inode_symlink)
{
	bool at = CALL_IS(call, symlinkat);
	u64 target;

	if (call->ret || !claim_call(run, call, EVENT(security_inode_symlink)))
		return;
	target = forget(run->slot, call_argument(call, 0));
	put_named_path(run, FIELD(security_inode_symlink, linkpath), directory(run, call, at, 1), argument(run, call, at, 2, 1));
	put_user_string(run, FIELD(security_inode_symlink, target), target);
	submit(run);
}

/* ---- mkdir ---- */

static __always_inline void tell_mkdir(struct run *run, const struct path *directory, struct dentry *dentry, umode_t mode)
{
	if (!claim(run, EVENT(security_inode_mkdir)))
		return;
	put_path_of(run, FIELD(security_inode_mkdir, pathname), directory, dentry);
	put_u32(run, FIELD(security_inode_mkdir, mode), mode & S_IALLUGO);
	submit(run);
}

SEC("lsm/path_mkdir")
int BPF_PROG(security_inode_mkdir__lsm, const struct path *directory, struct dentry *dentry, umode_t mode)
{
	return answer(REFUSES(security_inode_mkdir__lsm, tell_mkdir(&run, directory, dentry, mode)));
}

SEC("kprobe/security_path_mkdir")
int BPF_KPROBE(security_inode_mkdir__kprobe, const struct path *directory, struct dentry *dentry, umode_t mode)
{
	RUN(security_inode_mkdir__kprobe, tell_mkdir(&run, directory, dentry, mode));
	return 0;
}

SYSCALL_EXIT(security_inode_mkdir)
{
	bool at = CALL_IS(call, mkdirat);

	if (call->ret || !claim_call(run, call, EVENT(security_inode_mkdir)))
		return;
	put_u32(run, FIELD(security_inode_mkdir, mode), argument(run, call, at, 2, 1) & S_IALLUGO);
	put_named_path(run, FIELD(security_inode_mkdir, pathname), directory(run, call, at, 0), argument(run, call, at, 1, 0));
	submit(run);
}

/* ---- chmod and chown ---- */

static __always_inline void tell_chmod(struct run *run, const struct path *path, umode_t mode)
{
	if (!claim(run, EVENT(chmod_common)))
		return;
	put_path(run, FIELD(chmod_common, pathname), path);
	put_u32(run, FIELD(chmod_common, mode), mode & S_IALLUGO);
	submit(run);
}

SEC("lsm/path_chmod")
int BPF_PROG(chmod_common__lsm, const struct path *path, umode_t mode)
{
	return answer(REFUSES(chmod_common__lsm, tell_chmod(&run, path, mode)));
}

SEC("kprobe/security_path_chmod")
int BPF_KPROBE(chmod_common__kprobe, const struct path *path, umode_t mode)
{
	RUN(chmod_common__kprobe, tell_chmod(&run, path, mode));
	return 0;
}

/* The path of a descriptor that a call was given. */
static __always_inline void put_fd_path(struct run *run, const struct call *call, u8 index)
{
	struct file *file = file_of_fd(call->task, forget(run->slot, call_argument(call, 0)));

	if (file)
		put_file_path(run, index, file);
}

SYSCALL_EXIT(chmod_common)
{
	bool at = CALL_IS(call, fchmodat) || CALL_IS(call, fchmodat2);

	if (call->ret || !claim_call(run, call, EVENT(chmod_common)))
		return;
	put_u32(run, FIELD(chmod_common, mode), argument(run, call, at, 2, 1) & S_IALLUGO);
	if (CALL_IS(call, fchmod))
		put_fd_path(run, call, FIELD(chmod_common, pathname));
	else
		put_named_path(run, FIELD(chmod_common, pathname), directory(run, call, at, 0),
			       argument(run, call, at, 1, 0));
	submit(run);
}

static __always_inline void tell_chown(struct run *run, const struct path *path, u32 uid, u32 gid)
{
	if (!claim(run, EVENT(chown_common)))
		return;
	put_path(run, FIELD(chown_common, pathname), path);
	put_u32(run, FIELD(chown_common, uid), uid);
	put_u32(run, FIELD(chown_common, gid), gid);
	submit(run);
}

/* The ids are structs of one number each, by value: they come as the number. */
SEC("lsm/path_chown")
int BPF_PROG(chown_common__lsm, const struct path *path, u64 uid, u64 gid)
{
	return answer(REFUSES(chown_common__lsm, tell_chown(&run, path, uid, gid)));
}

SEC("kprobe/security_path_chown")
int BPF_KPROBE(chown_common__kprobe, const struct path *path, u32 uid, u32 gid)
{
	RUN(chown_common__kprobe, tell_chown(&run, path, uid, gid));
	return 0;
}

/* The calls of the 32-bit table that take ids of 16 bits: all ones keeps the owner there, too. */
static __always_inline u32 chown_id(const struct call *call, u32 id)
{
	bool narrow = call->number == NR_COMPAT_chown || call->number == NR_COMPAT_fchown || call->number == NR_COMPAT_lchown;

	if (!narrow)
		return id;
	return (u16)id == 0xffff ? 0xffffffff : (u16)id;
}

SYSCALL_EXIT(chown_common)
{
	bool at = CALL_IS(call, fchownat);
	u32 uid, gid;

	if (call->ret || !claim_call(run, call, EVENT(chown_common)))
		return;
	uid = argument(run, call, at, 2, 1);
	gid = argument(run, call, at, 3, 2);
	put_u32(run, FIELD(chown_common, uid), forget(run->slot, chown_id(call, uid)));
	put_u32(run, FIELD(chown_common, gid), forget(run->slot, chown_id(call, gid)));
	if (CALL_IS(call, fchown) || CALL_IS(call, fchown32))
		put_fd_path(run, call, FIELD(chown_common, pathname));
	else
		put_named_path(run, FIELD(chown_common, pathname), directory(run, call, at, 0),
			       argument(run, call, at, 1, 0));
	submit(run);
}

/* ---- truncate ---- */

static __always_inline void put_truncated(struct run *run, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	put_file_path(run, FIELD(do_truncate, pathname), file);
	put_u64(run, FIELD(do_truncate, inode), BPF_CORE_READ(inode, i_ino));
	put_u32(run, FIELD(do_truncate, dev), dev_of(inode));
}

SYSCALL_EXIT(do_truncate)
{
	u64 length = call_argument(call, 1);

	if (call->ret || !claim_call(run, call, EVENT(do_truncate)))
		return;
	if (CALL_IS(call, truncate64) || CALL_IS(call, ftruncate64))
		length |= call_argument(call, 2) << 32;
	if (CALL_IS(call, ftruncate) || CALL_IS(call, ftruncate64)) {
		struct file *file = file_of_fd(call->task, call_argument(call, 0));

		if (file)
			put_truncated(run, file);
	} else {
		put_named_path(run, FIELD(do_truncate, pathname), AT_FDCWD, call_argument(call, 0));
	}
	put_u64(run, FIELD(do_truncate, length), length);
	submit(run);
}

/* The kernel cuts regular files that this open did not create. */
SYSCALL_EXIT(do_truncate_open)
{
	struct file *file;

	if (call->ret < 0 || !(flags_to_open(call) & O_TRUNC))
		return;
	file = file_of_fd(call->task, call->ret);
	if (!file || BPF_CORE_READ(file, f_mode) & FMODE_CREATED || BPF_CORE_READ(file, f_flags) & O_PATH ||
	    !is_regular(BPF_CORE_READ(file, f_inode, i_mode)) || !claim_call(run, call, EVENT(do_truncate)))
		return;
	put_truncated(run, file);
	put_u64(run, FIELD(do_truncate, length), 0);
	submit(run);
}

/* ---- mounts ---- */

static __always_inline void tell_mount(struct run *run, const char *device, const struct path *path, const char *type,
				       u64 flags)
{
	if (!claim(run, EVENT(security_sb_mount)))
		return;
	if (device)
		put_kernel_string(run, FIELD(security_sb_mount, dev_name), device);
	put_path(run, FIELD(security_sb_mount, path), path);
	if (type)
		put_kernel_string(run, FIELD(security_sb_mount, type), type);
	put_u64(run, FIELD(security_sb_mount, flags), flags);
	submit(run);
}

SEC("lsm/sb_mount")
int BPF_PROG(security_sb_mount__lsm, const char *device, const struct path *path, const char *type, unsigned long flags)
{
	return answer(REFUSES(security_sb_mount__lsm, tell_mount(&run, device, path, type, flags)));
}

SEC("kprobe/security_sb_mount")
int BPF_KPROBE(security_sb_mount__kprobe, const char *device, const struct path *path, const char *type, unsigned long flags)
{
	RUN(security_sb_mount__kprobe, tell_mount(&run, device, path, type, flags));
	return 0;
}

SYSCALL_EXIT(security_sb_mount)
{
	u64 device = call_argument(call, 0), type = call_argument(call, 2), flags = call_argument(call, 3);

	if (call->ret || !claim_call(run, call, EVENT(security_sb_mount)))
		return;
	/* The kernel drops this mark of old callers before its own hook, too. */
	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~(u64)MS_MGC_MSK;
	if (device)
		put_user_string(run, FIELD(security_sb_mount, dev_name), device);
	put_named_path(run, FIELD(security_sb_mount, path), AT_FDCWD, call_argument(call, 1));
	if (type)
		put_user_string(run, FIELD(security_sb_mount, type), type);
	put_u64(run, FIELD(security_sb_mount, flags), flags);
	submit(run);
}

static __always_inline void tell_umount(struct run *run, struct vfsmount *mount, u32 flags)
{
	if (!claim(run, EVENT(security_sb_umount)))
		return;
	put_path_at(run->slot, run->max, FIELD(security_sb_umount, mountpoint), BPF_CORE_READ(mount, mnt_root), mount);
	put_kernel_string(run, FIELD(security_sb_umount, type), BPF_CORE_READ(mount, mnt_sb, s_type, name));
	put_u32(run, FIELD(security_sb_umount, flags), flags);
	submit(run);
}

SEC("lsm/sb_umount")
int BPF_PROG(security_sb_umount__lsm, struct vfsmount *mount, int flags)
{
	return answer(REFUSES(security_sb_umount__lsm, tell_umount(&run, mount, flags)));
}

SEC("kprobe/security_sb_umount")
int BPF_KPROBE(security_sb_umount__kprobe, struct vfsmount *mount, int flags)
{
	RUN(security_sb_umount__kprobe, tell_umount(&run, mount, flags));
	return 0;
}

SYSCALL_EXIT(security_sb_umount)
{
	if (call->ret || !claim_call(run, call, EVENT(security_sb_umount)))
		return;
	put_named_path(run, FIELD(security_sb_umount, mountpoint), AT_FDCWD, call_argument(call, 0));
	put_u32(run, FIELD(security_sb_umount, flags), CALL_IS(call, umount2) ? call_argument(call, 1) : 0);
	submit(run);
}

/* ---- reading and writing ---- */

#define S_IFIFO 0010000
#define S_IFSOCK 0140000
#define O_APPEND 02000

/* A call that names the place in the file; the others use the file's own. */
static __always_inline bool names_place(const struct call *call)
{
	return CALL_IS(call, pwrite64) || CALL_IS(call, pread64) || CALL_IS(call, pwritev) || CALL_IS(call, preadv) ||
	       CALL_IS(call, pwritev2) || CALL_IS(call, preadv2);
}

/* Where in the file the call began. After it, the file's place is behind what it moved. */
static __always_inline s64 place_of(const struct call *call, struct file *file)
{
	s64 named = -1;

	if (names_place(call)) {
		named = call_argument(call, 3);
		if (call->number >= COMPAT_BASE)
			named |= call_argument(call, 4) << 32;
	}
	if (named != -1)
		return named;
	return BPF_CORE_READ(file, f_pos) - (call->ret > 0 ? call->ret : 0);
}

static __always_inline bool has_places(struct file *file)
{
	u32 type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;

	return type != S_IFIFO && type != S_IFSOCK;
}

/* clang-format off */
#define TRANSFER(event, count)                                                                     \
	SYSCALL_EXIT(event)                                                                        \
	{                                                                                          \
		struct file *file = file_of_fd(call->task, call_argument(call, 0));                \
		if (!file || !claim_call(run, call, EVENT(event)))                                 \
			return;                                                                    \
		put_file_path(run, FIELD(event, pathname), file);                                  \
		PUT_INODE(run, event, BPF_CORE_READ(file, f_inode));                               \
		put_u64(run, FIELD(event, count), call_argument(call, 2));                         \
		if (has_places(file))                                                              \
			put_u64(run, FIELD(event, pos), forget(run->slot, place_of(call, file)));  \
		submit(run);                                                                       \
	}
/* clang-format on */

TRANSFER(vfs_write, count)
TRANSFER(vfs_writev, vlen)
TRANSFER(vfs_read, count)
TRANSFER(vfs_readv, vlen)

/* ---- the first bytes of a file ---- */

#define MAGIC_BYTES 32

struct vector {
	u64 base, length;
};

/* Where the bytes are that a call wrote first. */
static __always_inline struct vector written(const struct call *call)
{
	struct vector vector = {call_argument(call, 1), call_argument(call, 2)};

	if (CALL_IS(call, write) || CALL_IS(call, pwrite64))
		return vector;
	if (call->number >= COMPAT_BASE) {
		u32 narrow[2] = {};

		bpf_probe_read_user(narrow, sizeof(narrow), (const void *)vector.base);
		return (struct vector){narrow[0], narrow[1]};
	}
	bpf_probe_read_user(&vector, sizeof(vector), (const void *)vector.base);
	return vector;
}

static __noinline int put_magic(struct slot *slot, u32 max, u64 from, u64 length)
{
	u32 bytes = length < MAGIC_BYTES ? length : MAGIC_BYTES, quality = QUALITY_OK;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, MAGIC_BYTES + 4);
	if (!at)
		return 0;
	KEEP(bytes);
	if (bytes > MAGIC_BYTES)
		return 0;
	if (bytes && bpf_probe_read_user(at + FIELD_HEAD, bytes, (const void *)from)) {
		bytes = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, FIELD(magic_write, bytes), quality, bytes);
	return 0;
}

SYSCALL_EXIT(magic_write)
{
	struct file *file;
	struct vector from;
	u64 length;

	if (call->ret <= 0)
		return;
	file = file_of_fd(call->task, call_argument(call, 0));
	if (!file || !is_regular(BPF_CORE_READ(file, f_inode, i_mode)) || place_of(call, file))
		return;
	/* Whatever place such a call names, it wrote at the end. */
	if (BPF_CORE_READ(file, f_flags) & O_APPEND && BPF_CORE_READ(file, f_inode, i_size) != call->ret)
		return;
	if (!claim_call(run, call, EVENT(magic_write)))
		return;
	put_file_path(run, FIELD(magic_write, pathname), file);
	PUT_INODE(run, magic_write, BPF_CORE_READ(file, f_inode));
	from = written(call);
	length = forget(run->slot, from.length < call->ret ? from.length : call->ret);
	put_magic(run->slot, run->max, forget(run->slot, from.base), length);
	submit(run);
}

/* ---- modification ---- */

/* The change time of the file that a call is about to write to, and which task it was: see life_cred_before. */
struct ctime_before {
	u64 start_time;
	u64 ctime;
	u64 inode;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct ctime_before));
} task_ctime_before SEC(".maps");

/* The regular file to which a call writes. */
static __always_inline struct file *file_written_to(const struct call *call)
{
	bool third = CALL_IS(call, copy_file_range) || CALL_IS(call, splice);
	struct file *file = file_of_fd(call->task, third ? call_argument(call, 2) : call_argument(call, 0));

	return file && is_regular(BPF_CORE_READ(file, f_inode, i_mode)) ? file : NULL;
}

SYSCALL_ENTER(file_modification_enter)
{
	struct file *file = file_written_to(call);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	u32 tid = bpf_get_current_pid_tgid();
	struct task_struct *task = call->task;
	struct ctime_before before;

	if (!file)
		return;
	before.start_time = FROM_TASK(task, start_boottime);
	before.ctime = ctime_of(inode);
	before.inode = (u64)inode;
	if (bpf_map_update_elem(&task_ctime_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

SYSCALL_EXIT(file_modification)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct ctime_before *before = bpf_map_lookup_elem(&task_ctime_before, &tid);
	struct task_struct *task = call->task;
	struct file *file;
	struct inode *inode;
	u64 now;

	if (!before)
		return;
	file = file_written_to(call);
	inode = BPF_CORE_READ(file, f_inode);
	now = ctime_of(inode);
	if (file && before->start_time == FROM_TASK(task, start_boottime) && before->inode == (u64)inode &&
	    before->ctime != now && claim_call(run, call, EVENT(file_modification))) {
		put_file_path(run, FIELD(file_modification, file_path), file);
		PUT_INODE(run, file_modification, inode);
		put_u64(run, FIELD(file_modification, old_ctime), before->ctime);
		put_u64(run, FIELD(file_modification, new_ctime), now);
		submit(run);
	}
	bpf_map_delete_elem(&task_ctime_before, &tid);
}

/* ---- times ---- */

/* A time as the kernel takes it. The marks for "now" and "not at all" (UTIME_NOW, UTIME_OMIT) are no number of nanoseconds. */
static __always_inline void put_moment(struct run *run, u8 index, s64 seconds, s64 nanoseconds)
{
	if (nanoseconds >= 0 && nanoseconds < 1000000000)
		put_u64(run, index, seconds * 1000000000 + nanoseconds);
}

static __always_inline void tell_utimes(struct run *run, const struct path *path, const struct timespec64 *times)
{
	struct timespec64 both[2];

	if (!claim(run, EVENT(vfs_utimes)))
		return;
	put_path(run, FIELD(vfs_utimes, pathname), path);
	PUT_INODE(run, vfs_utimes, BPF_CORE_READ(path, dentry, d_inode));
	if (times && !bpf_probe_read_kernel(both, sizeof(both), times)) {
		put_moment(run, FIELD(vfs_utimes, atime), both[0].tv_sec, both[0].tv_nsec);
		put_moment(run, FIELD(vfs_utimes, mtime), both[1].tv_sec, both[1].tv_nsec);
	}
	submit(run);
}

SEC("kprobe/vfs_utimes")
int BPF_KPROBE(vfs_utimes__kprobe, const struct path *path, const struct timespec64 *times)
{
	RUN(vfs_utimes__kprobe, tell_utimes(&run, path, times));
	return 0;
}

/* The four words of two times, or the two that utime takes, as the caller's memory has them. */
static __always_inline long read_times(const struct call *call, s64 words[4], u64 from)
{
	bool time64 = CALL_IS(call, utimensat_time64);
	u32 count = CALL_IS(call, utime) ? 2 : 4;
	s32 narrow[4] = {};
	long error;

	if (call->number < COMPAT_BASE || time64) {
		error = bpf_probe_read_user(words, count * sizeof(words[0]), (const void *)from);
		/* The upper half is padding there. */
		if (call->number >= COMPAT_BASE) {
			words[1] = (u32)words[1];
			words[3] = (u32)words[3];
		}
		return error;
	}
	error = bpf_probe_read_user(narrow, count * sizeof(narrow[0]), (const void *)from);
	for (u32 i = 0; i < 4; i++)
		words[i] = narrow[i];
	return error;
}

SYSCALL_EXIT(vfs_utimes)
{
	bool at = CALL_IS(call, futimesat) || CALL_IS(call, utimensat) || CALL_IS(call, utimensat_time64);
	bool micro = CALL_IS(call, futimesat) || CALL_IS(call, utimes);
	s64 words[4] = {};
	u64 name, times;

	if (call->ret || !claim_call(run, call, EVENT(vfs_utimes)))
		return;
	name = argument(run, call, at, 1, 0);
	times = argument(run, call, at, 2, 1);
	if (name) {
		put_named_path(run, FIELD(vfs_utimes, pathname), directory(run, call, at, 0), name);
	} else {
		struct file *file = file_of_fd(call->task, forget(run->slot, call_argument(call, 0)));

		if (file) {
			put_file_path(run, FIELD(vfs_utimes, pathname), file);
			PUT_INODE(run, vfs_utimes, BPF_CORE_READ(file, f_inode));
		}
	}
	if (times && read_times(call, words, times)) {
		put_nothing(run, FIELD(vfs_utimes, atime), QUALITY_FAULTED);
		put_nothing(run, FIELD(vfs_utimes, mtime), QUALITY_FAULTED);
	} else if (times && CALL_IS(call, utime)) {
		put_moment(run, FIELD(vfs_utimes, atime), words[0], 0);
		put_moment(run, FIELD(vfs_utimes, mtime), words[1], 0);
	} else if (times) {
		put_moment(run, FIELD(vfs_utimes, atime), words[0], micro ? words[1] * 1000 : words[1]);
		put_moment(run, FIELD(vfs_utimes, mtime), words[2], micro ? words[3] * 1000 : words[3]);
	}
	submit(run);
}

/* ---- watches ---- */

#ifdef LEGACY
#define WATCHES 64
#else
#define WATCHES 65536
#endif

/* The watch of a number, among the marks of a group: the newest comes first. */
struct watch_walk {
	struct list_head *head, *at;
	struct fsnotify_mark_connector *connector;
	s32 number;
};

static long watch_step(u32 index, struct watch_walk *walk)
{
	struct list_head *at = walk->at;
	struct fsnotify_mark *mark = (void *)at - bpf_core_field_offset(struct fsnotify_mark, g_list);
	struct inotify_inode_mark *watch = (void *)mark - bpf_core_field_offset(struct inotify_inode_mark, fsn_mark);

	if (!at || at == walk->head)
		return 1;
	if (BPF_CORE_READ(watch, wd) == walk->number) {
		walk->connector = BPF_CORE_READ(mark, connector);
		return 1;
	}
	walk->at = BPF_CORE_READ(at, next);
	return 0;
}

/*
 * What an inotify watch of that number is on. The list may change under the walk; what is found is the right one if the inode and its
 * connector agree. A number is not used again while there are others.
 */
static __always_inline struct inode *inode_watched(struct file *file, s32 number)
{
	struct fsnotify_group *group = BPF_CORE_READ(file, private_data);
	struct watch_walk walk = {.number = number};
	struct fsnotify_mark_connector *connector;
	struct inode *inode;

	walk.head = (void *)group + bpf_core_field_offset(struct fsnotify_group, marks_list);
	walk.at = BPF_CORE_READ(group, marks_list.next);
#ifdef LEGACY
	for (u32 i = 0; i < WATCHES; i++)
		if (watch_step(i, &walk))
			break;
#else
	bpf_loop(WATCHES, watch_step, &walk, 0);
#endif
	connector = walk.connector;
	if (!connector)
		return NULL;
	inode = BPF_CORE_READ(connector, obj);
	if (BPF_CORE_READ(inode, i_fsnotify_marks) == connector)
		return inode;
	inode = (void *)inode - bpf_core_field_offset(struct inode, i_fsnotify_marks);
	return BPF_CORE_READ(inode, i_fsnotify_marks) == connector ? inode : NULL;
}

SYSCALL_EXIT(inotify_watch)
{
	struct inode *inode;
	struct file *file;

	if (call->ret < 0 || !claim_call(run, call, EVENT(inotify_watch)))
		return;
	put_named_path(run, FIELD(inotify_watch, pathname), AT_FDCWD, call_argument(call, 1));
	file = file_of_fd(call->task, call_argument(call, 0));
	inode = file ? inode_watched(file, call->ret) : NULL;
	if (inode)
		PUT_INODE(run, inotify_watch, inode);
	submit(run);
}

#define FAN_MARK_ADD_OR_REMOVE 3
#define FAN_MARK_MOUNT 0x10
#define FAN_MARK_FILESYSTEM 0x100
#define F_NOTIFY 1026
#define IN_ALL_EVENTS 0xfff

enum notify_object { OBJECT_INODE, OBJECT_MOUNT, OBJECT_FILESYSTEM, OBJECT_MOUNT_NAMESPACE };

static __always_inline void put_notify(struct run *run, struct inode *inode, u64 mask, u32 object)
{
	if (inode)
		PUT_INODE(run, security_path_notify, inode);
	put_u64(run, FIELD(security_path_notify, mask), mask);
	put_u32(run, FIELD(security_path_notify, obj_type), object);
	submit(run);
}

static __always_inline void tell_notify(struct run *run, const struct path *path, u64 mask, u32 object)
{
	if (!claim(run, EVENT(security_path_notify)))
		return;
	put_path(run, FIELD(security_path_notify, pathname), path);
	put_notify(run, BPF_CORE_READ(path, dentry, d_inode), mask, object);
}

SEC("lsm/path_notify")
int BPF_PROG(security_path_notify__lsm, const struct path *path, u64 mask, unsigned int object)
{
	return answer(REFUSES(security_path_notify__lsm, tell_notify(&run, path, mask, object)));
}

SEC("kprobe/security_path_notify")
int BPF_KPROBE(security_path_notify__kprobe, const struct path *path, u64 mask, unsigned int object)
{
	RUN(security_path_notify__kprobe, tell_notify(&run, path, mask, object));
	return 0;
}

/* What fcntl's word for the events to be told of is in the kernel, which also looks at what is in the directory. */
static __always_inline u64 mask_of_dnotify(u64 asked)
{
	u64 mask = 0x08000000; /* FS_EVENT_ON_CHILD */

	mask |= asked & 1 ? 0x1 : 0; /* DN_ACCESS */
	mask |= asked & 2 ? 0x2 : 0; /* DN_MODIFY */
	mask |= asked & 4 ? 0x180 : 0; /* DN_CREATE: made there, or moved there */
	mask |= asked & 8 ? 0x240 : 0; /* DN_DELETE: deleted, or moved away */
	mask |= asked & 16 ? 0x10000000 : 0; /* DN_RENAME */
	mask |= asked & 32 ? 0x4 : 0; /* DN_ATTRIB */
	return mask | (asked & 0x80000000 ? 0x20000000 : 0); /* DN_MULTISHOT */
}

static __always_inline u32 object_of_fanotify(u32 flags)
{
	if (!(flags & FAN_MARK_FILESYSTEM))
		return flags & FAN_MARK_MOUNT ? OBJECT_MOUNT : OBJECT_INODE;
	return flags & FAN_MARK_MOUNT ? OBJECT_MOUNT_NAMESPACE : OBJECT_FILESYSTEM;
}

static __always_inline void tell_fanotify(struct run *run, const struct call *call)
{
	bool split = call->number >= COMPAT_BASE;
	u64 mask = call_argument(call, 2), name;
	u32 flags = call_argument(call, 1);
	struct inode *inode = NULL;
	s32 directory;

	if (!(flags & FAN_MARK_ADD_OR_REMOVE) || !claim_call(run, call, EVENT(security_path_notify)))
		return;
	if (split)
		mask |= call_argument(call, 3) << 32;
	directory = forget(run->slot, split ? call_argument(call, 4) : call_argument(call, 3));
	name = forget(run->slot, split ? call_argument(call, 5) : call_argument(call, 4));
	if (name) {
		put_named_path(run, FIELD(security_path_notify, pathname), directory, name);
	} else {
		struct file *file = file_of_fd(call->task, directory);

		if (file)
			put_file_path(run, FIELD(security_path_notify, pathname), file);
		inode = BPF_CORE_READ(file, f_inode);
	}
	put_notify(run, inode, forget(run->slot, mask), object_of_fanotify(flags));
}

static __always_inline void tell_inotify(struct run *run, const struct call *call)
{
	struct file *file;

	if (!claim_call(run, call, EVENT(security_path_notify)))
		return;
	put_named_path(run, FIELD(security_path_notify, pathname), AT_FDCWD, call_argument(call, 1));
	file = file_of_fd(call->task, call_argument(call, 0));
	put_notify(run, file ? inode_watched(file, call->ret) : NULL, (u32)call_argument(call, 2) & IN_ALL_EVENTS, OBJECT_INODE);
}

static __always_inline void tell_dnotify(struct run *run, const struct call *call)
{
	u64 asked = call_argument(call, 2);
	struct file *file = NULL;

	/* Without an event it takes a watch away, and asks nobody. */
	if ((u32)call_argument(call, 1) == F_NOTIFY && asked & 0x7fffffff)
		file = file_of_fd(call->task, call_argument(call, 0));
	if (!file || !claim_call(run, call, EVENT(security_path_notify)))
		return;
	put_file_path(run, FIELD(security_path_notify, pathname), file);
	put_notify(run, BPF_CORE_READ(file, f_inode), mask_of_dnotify(asked), OBJECT_INODE);
}

SYSCALL_EXIT(security_path_notify)
{
	if (call->ret < 0)
		return;
	if (CALL_IS(call, inotify_add_watch))
		tell_inotify(run, call);
	else if (CALL_IS(call, fanotify_mark))
		tell_fanotify(run, call);
	else
		tell_dnotify(run, call);
}

/* ---- pipes into files ---- */

#define BUFFERS 16
#define PIPE_BUF_FLAG_CAN_MERGE 0x10
#define PAGE_BYTES 4096

/*
 * A buffer by which a file can be written to: a write to the pipe is added to its page, and that is a page of the file. The pipe's own
 * pages, which may be added to, are in no file.
 */
static __always_inline bool is_exposed(struct pipe_buffer *buffer)
{
	if (!(BPF_CORE_READ(buffer, flags) & PIPE_BUF_FLAG_CAN_MERGE))
		return false;
	/* Kernels without it have not had this fault for long. */
	return bpf_core_field_exists(struct page, mapping) && BPF_CORE_READ(buffer, page, mapping);
}

static __always_inline struct pipe_buffer *exposed_buffer(struct pipe_inode_info *pipe)
{
	u32 head = BPF_CORE_READ(pipe, head), held = head - BPF_CORE_READ(pipe, tail);
	u32 mask = BPF_CORE_READ(pipe, ring_size) - 1;
	void *buffers = BPF_CORE_READ(pipe, bufs);

	for (u32 i = 1; i <= BUFFERS; i++) {
		struct pipe_buffer *buffer;

		if (i > held)
			break;
		buffer = buffers + (u64)((head - i) & mask) * bpf_core_type_size(struct pipe_buffer);
		if (is_exposed(buffer))
			return buffer;
	}
	return NULL;
}

SYSCALL_EXIT(dirty_pipe_splice)
{
	struct file *in, *out;
	struct pipe_buffer *buffer;
	u32 type, end;

	if (call->ret <= 0)
		return;
	in = file_of_fd(call->task, call_argument(call, 0));
	out = file_of_fd(call->task, call_argument(call, 2));
	type = BPF_CORE_READ(in, f_inode, i_mode) & S_IFMT;
	if (!in || !out || type == S_IFIFO || (BPF_CORE_READ(out, f_inode, i_mode) & S_IFMT) != S_IFIFO)
		return;
	buffer = exposed_buffer(BPF_CORE_READ(out, private_data));
	if (!buffer || !claim_call(run, call, EVENT(dirty_pipe_splice)))
		return;
	end = BPF_CORE_READ(buffer, offset) + BPF_CORE_READ(buffer, len);
	put_u64(run, FIELD(dirty_pipe_splice, inode_in), BPF_CORE_READ(in, f_inode, i_ino));
	put_u32(run, FIELD(dirty_pipe_splice, in_file_type), type);
	put_file_path(run, FIELD(dirty_pipe_splice, in_file_path), in);
	if (bpf_core_field_exists(struct page, index))
		put_u64(run, FIELD(dirty_pipe_splice, exposed_data_start_offset),
			BPF_CORE_READ(buffer, page, index) * PAGE_BYTES + end);
	put_u64(run, FIELD(dirty_pipe_splice, exposed_data_len), end < PAGE_BYTES ? PAGE_BYTES - end : 0);
	put_u64(run, FIELD(dirty_pipe_splice, inode_out), BPF_CORE_READ(out, f_inode, i_ino));
	put_u32(run, FIELD(dirty_pipe_splice, out_pipe_last_buffer_flags), BPF_CORE_READ(buffer, flags));
	submit(run);
}

/* ---- what the kernel reads and writes itself ---- */

#define ENOEXEC 8
#define MODULE_INIT_COMPRESSED_FILE 4

static __always_inline void tell_kernel_read(struct run *run, struct file *file, u32 id)
{
	if (!claim(run, EVENT(security_kernel_read_file)))
		return;
	put_u32(run, FIELD(security_kernel_read_file, type), id);
	if (file)
		PUT_FILE(run, security_kernel_read_file, file);
	submit(run);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(security_kernel_read_file__lsm, struct file *file, int id)
{
	return answer(REFUSES(security_kernel_read_file__lsm, tell_kernel_read(&run, file, id)));
}

SEC("kprobe/security_kernel_read_file")
int BPF_KPROBE(security_kernel_read_file__kprobe, struct file *file, int id)
{
	RUN(security_kernel_read_file__kprobe, tell_kernel_read(&run, file, id));
	return 0;
}

static __always_inline void tell_kernel_has_read(struct run *run, struct file *file, s64 size, u32 id)
{
	if (!claim(run, EVENT(security_kernel_post_read_file)))
		return;
	put_u32(run, FIELD(security_kernel_post_read_file, type), id);
	put_u64(run, FIELD(security_kernel_post_read_file, size), size);
	if (file)
		put_file_path(run, FIELD(security_kernel_post_read_file, pathname), file);
	submit(run);
}

SEC("lsm/kernel_post_read_file")
int BPF_PROG(security_kernel_post_read_file__lsm, struct file *file, char *bytes, s64 size, int id)
{
	return answer(REFUSES(security_kernel_post_read_file__lsm, tell_kernel_has_read(&run, file, size, id)));
}

SEC("kprobe/security_kernel_post_read_file")
int BPF_KPROBE(security_kernel_post_read_file__kprobe, struct file *file, char *bytes, s64 size, int id)
{
	RUN(security_kernel_post_read_file__kprobe, tell_kernel_has_read(&run, file, size, id));
	return 0;
}

/* The file that finit_module read; NULL if it did not come to that. */
static __always_inline struct file *module_file(const struct call *call)
{
	return !call->ret || call->ret == -ENOEXEC ? file_of_fd(call->task, call_argument(call, 0)) : NULL;
}

static __always_inline u32 module_type(const struct call *call)
{
	if (call_argument(call, 2) & MODULE_INIT_COMPRESSED_FILE &&
	    bpf_core_enum_value_exists(enum kernel_read_file_id, READING_MODULE_COMPRESSED))
		return READING_MODULE_COMPRESSED;
	return READING_MODULE;
}

SYSCALL_EXIT(security_kernel_read_file)
{
	struct file *file = module_file(call);
	enum quality sure;

	if (!file || !claim_call(run, call, EVENT(security_kernel_read_file)))
		return;
	sure = sure_of_fd(call->task);
	put_u32(run, FIELD(security_kernel_read_file, type), module_type(call));
	put_uncertain_path(run, FIELD(security_kernel_read_file, pathname), file, sure);
	if (sure == QUALITY_OK) {
		PUT_INODE(run, security_kernel_read_file, BPF_CORE_READ(file, f_inode));
		put_u64(run, FIELD(security_kernel_read_file, ctime), ctime_of(BPF_CORE_READ(file, f_inode)));
	}
	submit(run);
}

SYSCALL_EXIT(security_kernel_post_read_file)
{
	struct file *file = module_file(call);
	enum quality sure;

	if (!file || !claim_call(run, call, EVENT(security_kernel_post_read_file)))
		return;
	sure = sure_of_fd(call->task);
	put_u32(run, FIELD(security_kernel_post_read_file, type), module_type(call));
	put_uncertain_path(run, FIELD(security_kernel_post_read_file, pathname), file, sure);
	if (sure == QUALITY_OK)
		put_u64(run, FIELD(security_kernel_post_read_file, size), BPF_CORE_READ(file, f_inode, i_size));
	submit(run);
}

static __always_inline void tell_kernel_write(struct run *run, struct file *file, u64 count, const s64 *pos)
{
	s64 place = 0;

	if (!claim(run, EVENT(__kernel_write)))
		return;
	put_file_path(run, FIELD(__kernel_write, pathname), file);
	PUT_INODE(run, __kernel_write, BPF_CORE_READ(file, f_inode));
	put_u64(run, FIELD(__kernel_write, count), count);
	if (has_places(file) && !bpf_probe_read_kernel(&place, sizeof(place), pos))
		put_u64(run, FIELD(__kernel_write, pos), place);
	submit(run);
}

SEC("kprobe/__kernel_write_iter")
int BPF_KPROBE(kernel_write_iter__kprobe, struct file *file, struct iov_iter *from, const s64 *pos)
{
	RUN(kernel_write_iter__kprobe, tell_kernel_write(&run, file, BPF_CORE_READ(from, count), pos));
	return 0;
}

SEC("kprobe/__kernel_write")
int BPF_KPROBE(kernel_write__kprobe, struct file *file, const void *bytes, u64 count, const s64 *pos)
{
	RUN(kernel_write__kprobe, tell_kernel_write(&run, file, count, pos));
	return 0;
}

/* ---- listed without an inode ---- */

#define ENTRY_BYTES 255

/* The name has no NUL at its end. */
static __noinline int put_entry_name(struct slot *slot, u32 max, const char *from, u32 length)
{
	u32 quality = length <= ENTRY_BYTES ? QUALITY_OK : QUALITY_TRUNCATED;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, ENTRY_BYTES + 5);
	if (!at)
		return 0;
	KEEP(length);
	if (length > ENTRY_BYTES)
		length = ENTRY_BYTES;
	if (bpf_probe_read_kernel(at + FIELD_HEAD, length, from)) {
		length = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, FIELD(zeroed_inodes, dirent_name), quality, length);
	return 0;
}

static __always_inline void tell_zeroed(struct run *run, const char *name, u32 length, u64 number)
{
	if (number || !claim(run, EVENT(zeroed_inodes)))
		return;
	put_entry_name(run->slot, run->max, name, length);
	submit(run);
}

SEC("kprobe/filldir64")
int BPF_KPROBE(zeroed_inodes__kprobe, void *context, const char *name, int length, s64 offset, u64 number)
{
	RUN(zeroed_inodes__kprobe, tell_zeroed(&run, name, length, number));
	return 0;
}

/* ---- headers of programs ---- */

static __always_inline void tell_headers(struct run *run, struct file *file)
{
	if (!claim(run, EVENT(load_elf_phdrs)))
		return;
	put_file_path(run, FIELD(load_elf_phdrs, pathname), file);
	PUT_INODE(run, load_elf_phdrs, BPF_CORE_READ(file, f_inode));
	submit(run);
}

SEC("kprobe/load_elf_phdrs")
int BPF_KPROBE(load_elf_phdrs__kprobe, const void *header, struct file *file)
{
	RUN(load_elf_phdrs__kprobe, tell_headers(&run, file));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(load_elf_phdrs__btf)
{
	RUN(load_elf_phdrs__btf, tell_headers(&run, FROM_TASK(current_task(), mm, exe_file)));
	return 0;
}

SEC("tp/sched/sched_process_exec")
int load_elf_phdrs__perf(struct trace_event_raw_sched_process_exec *ctx)
{
	RUN(load_elf_phdrs__perf, tell_headers(&run, FROM_TASK(current_task(), mm, exe_file)));
	return 0;
}
