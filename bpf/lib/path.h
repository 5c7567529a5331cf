/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Paths from what the kernel holds. A dentry knows its name and its parent, so a path is put together from its end. It may have any
 * number of names. When it is longer than PATH_BYTES the names at its end go, never those at its top: a first walk finds the whole
 * length, a second one leaves out as many names at the end as it takes.
 */
#pragma once

static long walk_step(u32 index, struct slot **at)
{
	struct slot *slot = *at;
	struct dentry *dentry, *parent;
	struct vfsmount *root;
	struct walk *walk;
	struct qstr name;
	u32 length, position;

	if (!slot)
		return 1;
	walk = &slot->walk;
	dentry = walk->dentry;
	parent = READ(struct dentry, dentry, d_parent);
	root = walk->mount;
	if (root && dentry == READ(struct vfsmount, root, mnt_root)) {
		struct mount *mount = (void *)root - bpf_core_field_offset(struct mount, mnt);
		struct mount *above = READ(struct mount, mount, mnt_parent);

		if (above == mount) {
			walk->top = 1;
			return 1;
		}
		walk->dentry = READ(struct mount, mount, mnt_mountpoint);
		walk->mount = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	name.len = READ(struct dentry, dentry, d_name.len);
	name.name = READ(struct dentry, dentry, d_name.name);
	if (parent == dentry) {
		/* The root of a file system that is mounted nowhere in sight, or a file that is in no directory. */
		walk->top = 1;
		if (walk->length || name.len == 1)
			return 1;
		if (!name.len) {
			walk->nameless = 1;
			return 1;
		}
		walk->slashless = 1;
	}
	walk->dentry = parent;
	length = name.len + 1;
	walk->length += length;
	if (walk->skip) {
		walk->skip = walk->skip > length ? walk->skip - length : 0;
		return walk->top & 1;
	}
	position = walk->position;
	if (length > position) {
		walk->overflow = 1;
		walk->position = 0;
		return walk->top & 1;
	}
	if (walk->overflow)
		return walk->top & 1;
	position -= length;
	walk->position = position;
	position &= PATH_BYTES - 1;
	slot->path[position] = '/';
	bpf_probe_read_kernel(&slot->path[position + 1], (length - 1) & (NAME_BYTES - 1), name.name);
	return walk->top & 1;
}

/* Leaves out `skip` bytes of names at the end, or a few more. */
static __always_inline void walk_up(struct slot *slot, struct dentry *dentry, struct vfsmount *mount, u32 skip)
{
	slot->walk = (struct walk){.dentry = dentry, .mount = mount, .position = PATH_BYTES, .skip = skip};
#ifdef LEGACY
	for (u32 i = 0; i < 96; i++)
		if (walk_step(i, &slot))
			break;
#else
	bpf_loop(COUNTED_NAMES, walk_step, &slot, 0);
#endif
}

/* Builds a path in slot->path; gives its start there, and its quality. */
static __noinline u64 build_path(struct slot *slot, struct dentry *dentry, struct vfsmount *mount)
{
	struct walk *walk;
	u32 quality = QUALITY_OK;

	if (!slot)
		return 0;
	walk = &slot->walk;
	walk_up(slot, dentry, mount, 0);
	if (walk->overflow && walk->top) {
		walk_up(slot, dentry, mount, walk->length - PATH_BYTES);
		quality = QUALITY_TRUNCATED;
	}
	if (!walk->top)
		quality = QUALITY_FAULTED;
	else if (walk->nameless)
		quality = QUALITY_UNAVAILABLE;
	else if (walk->slashless)
		walk->position++;
	return forget(slot, (u64)quality << 32 | walk->position);
}

/* Puts the path that build_path left into the record behind what of the field is there already (`before` bytes). */
static __always_inline u32 copy_path(struct slot *slot, u32 max, u32 position)
{
	u32 used = *(volatile u32 *)&slot->used;
	u32 length;

	KEEP(used);
	if (used > max - FIELD_HEAD - PATH_BYTES - 8) {
		slot->too_big = 1;
		return 0;
	}
	if (position > PATH_BYTES)
		position = PATH_BYTES;
	length = PATH_BYTES - position;
	KEEP(length);
	if (length > PATH_BYTES)
		return 0;
	if (length == 0) {
		slot->data[used + FIELD_HEAD] = '/';
		return 1;
	}
	position &= PATH_BYTES - 1;
	/* Kernel memory to kernel memory: the verifier has no memcpy of unknown length. */
	bpf_probe_read_kernel(slot->data + used + FIELD_HEAD, length, &slot->path[position]);
	return length;
}

static __noinline int put_path_at(struct slot *slot, u32 max, u32 index, struct dentry *dentry, struct vfsmount *mount)
{
	u64 built;
	u32 quality;

	if (!slot)
		return 0;
	if (!dentry) {
		close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
		return 0;
	}
	built = build_path(slot, dentry, mount);
	quality = built >> 32;
	if (quality == QUALITY_FAULTED || quality == QUALITY_UNAVAILABLE) {
		close_field(slot, max, index, quality, 0);
		return 0;
	}
	close_field(slot, max, index, quality, copy_path(slot, max, built));
	return 0;
}

/* The path of a struct path of the kernel. */
static __always_inline void put_path(struct run *run, u8 index, const struct path *path)
{
	put_path_at(run->slot, run->max, index, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
}

/* The path of a name in a directory: what hooks about names get. */
static __always_inline void put_path_of(struct run *run, u8 index, const struct path *directory, struct dentry *dentry)
{
	put_path_at(run->slot, run->max, index, dentry, BPF_CORE_READ(directory, mnt));
}

static __always_inline void put_file_path(struct run *run, u8 index, struct file *file)
{
	put_path_at(run->slot, run->max, index, READ(struct file, file, f_path.dentry), READ(struct file, file, f_path.mnt));
}

/* The same of a file that may not be the one that was meant: its path is marked then, if it has one. */
static __always_inline void put_uncertain_path(struct run *run, u8 index, struct file *file, enum quality sure)
{
	u32 before = *(volatile u32 *)&run->slot->used;

	put_file_path(run, index, file);
	mark_unsure(run, before, sure);
}

/* Whether a descriptor still stands for the file that a call looked at before: where threads share the table, another may stand there. */
static __always_inline enum quality sure_of_fd(struct task_struct *task)
{
	return FROM_TASK(task, files, count.counter) == 1 ? QUALITY_OK : QUALITY_UNRESOLVED;
}

/* The open file behind a descriptor of a task; NULL if there is none. */
static __always_inline struct file *file_of_fd(struct task_struct *task, s32 fd)
{
	struct fdtable *table = READ(struct task_struct, task, files, fdt);
	struct file **files = READ(struct fdtable, table, fd);
	struct file *file = NULL;

	if (fd < 0 || (u32)fd >= READ(struct fdtable, table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/* The last name of an open file's path. */
static __always_inline const unsigned char *name_of_file(struct file *file)
{
	return BPF_CORE_READ(file, f_path.dentry, d_name.name);
}

/* A name of the kernel begins with those bytes, 16 at most. */
static __always_inline bool begins_with(const unsigned char *name, const char *prefix, u32 length)
{
	char begin[16] = {};

	if (bpf_probe_read_kernel(begin, length, name))
		return false;
	return __builtin_memcmp(begin, prefix, length) == 0;
}

#define AT_FDCWD -100
/* With a field's index: the name is the kernel's copy, not in user memory. */
#define COPIED_NAME 256

/*
 * A path as the caller named it, relative to a directory's descriptor: the kernel's path of that directory, a slash, and the string in
 * user memory. Marked unresolved: links and dots in the string are not followed, and it is read after the kernel did.
 */
static __noinline int put_named_path_at(struct slot *slot, u32 max, u32 index, s32 directory, u64 name)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct dentry *dentry;
	struct vfsmount *mount;
	u32 quality = QUALITY_UNRESOLVED;
	u32 used, length = 0;
	u64 built;
	char first = 0;
	bool copied;
	long read;

	if (!slot)
		return 0;
	used = *(volatile u32 *)&slot->used;
	KEEP(used);
	if (used > max - FIELD_HEAD - PATH_BYTES - STRING_BYTES - 16) {
		slot->too_big = 1;
		return 0;
	}
	copied = index & COPIED_NAME;
	index &= COPIED_NAME - 1;
	if (copied ? bpf_probe_read_kernel(&first, 1, (const void *)name) :
		     bpf_probe_read_user(&first, 1, (const void *)name)) {
		close_field(slot, max, index, QUALITY_FAULTED, 0);
		return 0;
	}
	if (first == '/') {
		dentry = BPF_CORE_READ(task, fs, root.dentry);
		mount = BPF_CORE_READ(task, fs, root.mnt);
	} else if (directory == AT_FDCWD) {
		dentry = BPF_CORE_READ(task, fs, pwd.dentry);
		mount = BPF_CORE_READ(task, fs, pwd.mnt);
	} else {
		struct file *file = file_of_fd(task, directory);

		dentry = BPF_CORE_READ(file, f_path.dentry);
		mount = BPF_CORE_READ(file, f_path.mnt);
	}
	if (!dentry) {
		close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
		return 0;
	}
	built = build_path(slot, dentry, mount);
	if (built >> 32 == QUALITY_FAULTED || built >> 32 == QUALITY_UNAVAILABLE) {
		close_field(slot, max, index, built >> 32, 0);
		return 0;
	}
	length = copy_path(slot, max, built);
	KEEP(length);
	if (length > PATH_BYTES)
		return 0;
	if (built >> 32 == QUALITY_TRUNCATED) {
		/* The end of the directory's own path is missing: the name does not follow on it. */
		close_field(slot, max, index, QUALITY_TRUNCATED, length);
		return 0;
	}
	if (first == '/' && length == 1)
		length = 0; /* the root is the global one: the name is the path */
	else if (first && first != '/' && length != 1)
		slot->data[used + FIELD_HEAD + length++] = '/';
	KEEP(length);
	if (length > PATH_BYTES + 1)
		return 0;
	if (first) {
		if (copied)
			read = bpf_probe_read_kernel_str(slot->data + used + FIELD_HEAD + length, STRING_BYTES + 1,
							 (const void *)name);
		else
			read = bpf_probe_read_user_str(slot->data + used + FIELD_HEAD + length, STRING_BYTES + 1,
						       (const void *)name);
		if (read > 0 && read <= STRING_BYTES + 1)
			length += read - 1;
		else
			quality = QUALITY_FAULTED;
		if (read == STRING_BYTES + 1)
			quality = QUALITY_TRUNCATED;
	}
	close_field(slot, max, index, quality, length);
	return 0;
}

static __always_inline void put_named_path(struct run *run, u8 index, s32 directory, u64 name)
{
	put_named_path_at(run->slot, run->max, index, directory, name);
}

/* The same of a name that the kernel has copied already. */
static __always_inline void put_copied_path(struct run *run, u8 index, s32 directory, u64 name)
{
	put_named_path_at(run->slot, run->max, index | COPIED_NAME, directory, name);
}

/* In i_ctime_nsec (I_CTIME_QUERIED, Linux 6.13): somebody has seen this time, so the next change takes another. */
#define CTIME_QUERIED (1u << 31)

/* Nanoseconds since the epoch at which an inode was last changed. */
static __always_inline u64 ctime_of(struct inode *inode)
{
	if (bpf_core_field_exists(struct inode___seconds, i_ctime_sec))
		return BPF_CORE_READ((struct inode___seconds *)inode, i_ctime_sec) * 1000000000ULL +
		       (BPF_CORE_READ((struct inode___seconds *)inode, i_ctime_nsec) & ~CTIME_QUERIED);
	if (bpf_core_field_exists(struct inode___private, __i_ctime))
		return BPF_CORE_READ((struct inode___private *)inode, __i_ctime.tv_sec) * 1000000000ULL +
		       BPF_CORE_READ((struct inode___private *)inode, __i_ctime.tv_nsec);
	return BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_sec) * 1000000000ULL +
	       BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_nsec);
}

/* The device as user space numbers it (new_encode_dev): st_dev. */
static __always_inline u32 encode_dev(u32 dev)
{
	u32 major = dev >> 20, minor = dev & 0xfffff;

	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static __always_inline u32 dev_of(struct inode *inode)
{
	return encode_dev(BPF_CORE_READ(inode, i_sb, s_dev));
}

/* Which inode it is: the fields `dev` and `inode` of an event that has them. */
#define PUT_INODE(run, event, from)                                                         \
	do {                                                                                \
		struct inode *inode_ = (from);                                              \
		put_u32(run, FIELD(event, dev), dev_of(inode_));                            \
		put_u64(run, FIELD(event, inode), BPF_CORE_READ(inode_, i_ino));            \
	} while (0)

/* The same, and the fields `pathname` and `ctime`, of an open file. */
#define PUT_FILE(run, event, from)                                                          \
	do {                                                                                \
		struct file *file_ = (from);                                                \
		put_file_path(run, FIELD(event, pathname), file_);                          \
		PUT_INODE(run, event, BPF_CORE_READ(file_, f_inode));                       \
		put_u64(run, FIELD(event, ctime), ctime_of(BPF_CORE_READ(file_, f_inode))); \
	} while (0)
