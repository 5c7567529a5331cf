/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Kernel modules, and what code in the kernel makes known: files of proc and debugfs, devices, helpers in user space. */

/* Few modules state these. */
#define PUT_VERSIONS(run, event, stated, hash)                                  \
	do {                                                                    \
		if (stated)                                                     \
			put_kernel_string(run, FIELD(event, version), stated);  \
		if (hash)                                                       \
			put_kernel_string(run, FIELD(event, src_version), hash); \
	} while (0)

/* ---- load ---- */

/*
 * The file behind the descriptor that finit_module was called with: found in the table of descriptors, which the kernel itself
 * looked at before. Where threads share that table another file may stand there by now.
 */
static __always_inline void put_module_file(struct run *run)
{
#ifndef LEGACY
	struct task_struct *task = current_task();
	struct pt_regs *regs = current_registers();
	struct call call = call_by_btf(regs, 0);
	struct inode *inode;
	struct file *file;
	enum quality sure;

	if (!CALL_IS(&call, finit_module))
		return;
	file = file_of_fd(task, forget(run->slot, call_argument(&call, 0)));
	if (!file)
		return;
	sure = sure_of_fd(task);
	put_uncertain_path(run, FIELD(module_load, pathname), file, sure);
	if (sure != QUALITY_OK)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	put_u32(run, FIELD(module_load, dev), dev_of(inode));
	put_u64(run, FIELD(module_load, inode), BPF_CORE_READ(inode, i_ino));
	put_u64(run, FIELD(module_load, ctime), ctime_of(inode));
#endif
}

static __always_inline void tell_module(struct run *run, const char *name, const char *version, const char *src_version)
{
	if (!claim(run, EVENT(module_load)))
		return;
	put_kernel_string(run, FIELD(module_load, name), name);
	PUT_VERSIONS(run, module_load, version, src_version);
	put_module_file(run);
	submit(run);
}

SEC("tp_btf/module_load")
int BPF_PROG(module_load__btf, struct module *module)
{
	RUN(module_load__btf,
	    tell_module(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

/* The kernel calls it right behind the tracepoint. */
SEC("kprobe/do_init_module")
int BPF_KPROBE(module_load__kprobe, struct module *module)
{
	RUN(module_load__kprobe,
	    tell_module(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("tp/module/module_load")
int module_load__perf(struct trace_event_raw_module_load *ctx)
{
	RUN(module_load__perf, tell_module(&run, (const char *)ctx + (ctx->__data_loc_name & 0xffff), NULL, NULL));
	return 0;
}

/* ---- free ---- */

static __always_inline void tell_free(struct run *run, const char *name, const char *version, const char *src_version)
{
	if (!claim(run, EVENT(module_free)))
		return;
	put_kernel_string(run, FIELD(module_free, name), name);
	PUT_VERSIONS(run, module_free, version, src_version);
	submit(run);
}

SEC("tp_btf/module_free")
int BPF_PROG(module_free__btf, struct module *module)
{
	RUN(module_free__btf, tell_free(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("kprobe/free_module")
int BPF_KPROBE(module_free__kprobe, struct module *module)
{
	RUN(module_free__kprobe,
	    tell_free(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("tp/module/module_free")
int module_free__perf(struct trace_event_raw_module_free *ctx)
{
	RUN(module_free__perf, tell_free(&run, (const char *)ctx + (ctx->__data_loc_name & 0xffff), NULL, NULL));
	return 0;
}

/* ---- init ---- */

#define VERSION_BYTES 64

/* The module that a task is about to initialise, copied: if that fails, the module is gone when the call ends. */
struct module_before {
	u64 start_time;
	char name[56];
	char version[VERSION_BYTES];
	char src_version[VERSION_BYTES];
};

/* One entry for each task inside of such a call; as life_cred_before (families/cred). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct module_before));
} task_module_before SEC(".maps");

static __always_inline void keep_module(struct run *run, const char *name, const char *version, const char *src_version)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct module_before before = {.start_time = FROM_TASK(current_task(), start_boottime)};

	bpf_probe_read_kernel_str(before.name, sizeof(before.name), name);
	if (version)
		bpf_probe_read_kernel_str(before.version, sizeof(before.version), version);
	if (src_version)
		bpf_probe_read_kernel_str(before.src_version, sizeof(before.src_version), src_version);
	if (bpf_map_update_elem(&task_module_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

SEC("tp_btf/module_load")
int BPF_PROG(do_init_module_before__btf, struct module *module)
{
	RUN(do_init_module_before__btf,
	    keep_module(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("kprobe/do_init_module")
int BPF_KPROBE(do_init_module_before__kprobe, struct module *module)
{
	RUN(do_init_module_before__kprobe,
	    keep_module(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("tp/module/module_load")
int do_init_module_before__perf(struct trace_event_raw_module_load *ctx)
{
	RUN(do_init_module_before__perf, keep_module(&run, (const char *)ctx + (ctx->__data_loc_name & 0xffff), NULL, NULL));
	return 0;
}

/* A call that came as far as that ends with what the module's initialisation gave. */
SYSCALL_EXIT(do_init_module)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct module_before *before = bpf_map_lookup_elem(&task_module_before, &tid);
	struct task_struct *task = call->task;

	if (!before)
		return; /* the call failed before, or its begin was not seen */
	if (before->start_time == FROM_TASK(task, start_boottime) && claim_call(run, call, EVENT(do_init_module))) {
		put_kernel_string(run, FIELD(do_init_module, name), before->name);
		if (before->version[0])
			put_kernel_string(run, FIELD(do_init_module, version), before->version);
		if (before->src_version[0])
			put_kernel_string(run, FIELD(do_init_module, src_version), before->src_version);
		submit(run);
	}
	bpf_map_delete_elem(&task_module_before, &tid);
}

/* ---- what code in the kernel makes known ---- */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct subprocess_info {
	const char *path;
	char **argv, **envp;
	int wait;
};

struct proc_dir_entry {
	const void *proc_ops;
	const char *name;
	umode_t mode;
};

struct kobject {
	const char *name;
};

struct device {
	struct kobject kobj;
	struct device *parent;
	const char *init_name; /* before the device is added, its name may be here */
};

struct cdev {
	struct kobject kobj;
	const void *ops;
};

#pragma clang attribute pop

#define USERMODE_STRINGS 64

/* The strings of a NULL-terminated array of the kernel, each with its NUL. More than USERMODE_STRINGS are cut off. */
static __noinline int put_kernel_array_at(struct slot *slot, u32 max, u32 index, const char *const *from)
{
	u32 quality = QUALITY_TRUNCATED, used, length = 0;

	if (!slot)
		return 0;
	used = *(volatile u32 *)&slot->used;
	KEEP(used);
	if (used > max - FIELD_HEAD - 2 * STRING_BYTES - 8) {
		slot->too_big = 1;
		return 0;
	}
	for (u32 i = 0; i < USERMODE_STRINGS; i++) {
		const char *string = NULL;
		long read;

		if (bpf_probe_read_kernel(&string, sizeof(string), from + i)) {
			quality = QUALITY_FAULTED;
			break;
		}
		if (!string) {
			quality = QUALITY_OK;
			break;
		}
		KEEP(length);
		if (length > STRING_BYTES)
			break;
		read = bpf_probe_read_kernel_str(slot->data + used + FIELD_HEAD + length, STRING_BYTES, string);
		if (read <= 0 || read > STRING_BYTES) {
			quality = QUALITY_FAULTED;
			break;
		}
		length += read;
	}
	KEEP(length);
	if (length > 2 * STRING_BYTES)
		return 0;
	close_field(slot, max, index, quality, length);
	return 0;
}

/* Every helper that the kernel starts goes this way, whatever prepared it. */
SEC("kprobe/call_usermodehelper_exec")
int BPF_KPROBE(call_usermodehelper__kprobe, struct subprocess_info *info, int wait)
{
	struct run run = RUN_OF(call_usermodehelper__kprobe);

	run_begin(&run);
	if (claim(&run, EVENT(call_usermodehelper))) {
		put_kernel_string(&run, FIELD(call_usermodehelper, pathname), BPF_CORE_READ(info, path));
		put_kernel_array_at(run.slot, run.max, FIELD(call_usermodehelper, argv),
				    (const char *const *)BPF_CORE_READ(info, argv));
		put_kernel_array_at(run.slot, run.max, FIELD(call_usermodehelper, envp),
				    (const char *const *)BPF_CORE_READ(info, envp));
		put_u32(&run, FIELD(call_usermodehelper, wait), wait);
		submit(&run);
	}
	run_end(&run);
	return 0;
}

/* By the execution in a task that a kernel thread made: the strings are where the new program has them. */
static __always_inline void tell_helper_exec(struct run *run, const char *filename)
{
	struct task_struct *task = current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	if (!(BPF_CORE_READ(task, real_parent, flags) & PF_KTHREAD) || !claim(run, EVENT(call_usermodehelper)))
		return;
	put_kernel_string(run, FIELD(call_usermodehelper, pathname), filename);
	put_words(run, FIELD(call_usermodehelper, argv), BPF_CORE_READ(mm, arg_start), BPF_CORE_READ(mm, arg_end));
	put_words(run, FIELD(call_usermodehelper, envp), BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end));
	submit(run);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(call_usermodehelper__btf, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	RUN(call_usermodehelper__btf, tell_helper_exec(&run, bprm->filename));
	return 0;
}

SEC("tp/sched/sched_process_exec")
int call_usermodehelper__perf(struct trace_event_raw_sched_process_exec *ctx)
{
	RUN(call_usermodehelper__perf, tell_helper_exec(&run, (const char *)ctx + (ctx->__data_loc_filename & 0xffff)));
	return 0;
}

/* Every entry of proc comes through here: files, directories, links. Told are files. */
SEC("kprobe/proc_register")
int BPF_KPROBE(proc_create__kprobe, struct proc_dir_entry *directory, struct proc_dir_entry *entry)
{
	struct run run = RUN_OF(proc_create__kprobe);

	run_begin(&run);
	if (is_regular(BPF_CORE_READ(entry, mode)) && claim(&run, EVENT(proc_create))) {
		put_kernel_string(&run, FIELD(proc_create, name), BPF_CORE_READ(entry, name));
		put_u64(&run, FIELD(proc_create, proc_ops_addr), (u64)BPF_CORE_READ(entry, proc_ops));
		submit(&run);
	}
	run_end(&run);
	return 0;
}

/* The path of a directory of debugfs, from the root of that file system. */
static __always_inline void put_debugfs_path(struct run *run, u8 index, struct dentry *directory)
{
	if (directory)
		put_path_at(run->slot, run->max, index, directory, NULL);
	else
		put_kernel_string(run, index, "/");
}

static __always_inline void tell_debugfs_file(struct run *run, const char *name, umode_t mode, struct dentry *parent,
					      const void *operations)
{
	if (!claim(run, EVENT(debugfs_create_file)))
		return;
	put_kernel_string(run, FIELD(debugfs_create_file, file_name), name);
	put_debugfs_path(run, FIELD(debugfs_create_file, path), parent);
	put_u32(run, FIELD(debugfs_create_file, mode), mode & S_IFMT ? mode : mode | S_IFREG);
	put_u64(run, FIELD(debugfs_create_file, proc_ops_addr), (u64)operations);
	submit(run);
}

/* 6.14 and later: two functions, alike but for the type of the operations. */
SEC("kprobe/debugfs_create_file_full")
int BPF_KPROBE(debugfs_create_file__kprobe_full, const char *name, umode_t mode, struct dentry *parent, void *data,
	       const void *aux, const void *operations)
{
	RUN(debugfs_create_file__kprobe_full, tell_debugfs_file(&run, name, mode, parent, operations));
	return 0;
}

SEC("kprobe/debugfs_create_file_short")
int BPF_KPROBE(debugfs_create_file__kprobe_short, const char *name, umode_t mode, struct dentry *parent, void *data,
	       const void *aux, const void *operations)
{
	RUN(debugfs_create_file__kprobe_short, tell_debugfs_file(&run, name, mode, parent, operations));
	return 0;
}

/* Before. */
SEC("kprobe/__debugfs_create_file")
int BPF_KPROBE(debugfs_create_file__kprobe, const char *name, umode_t mode, struct dentry *parent, void *data,
	       const void *proxy, const void *operations)
{
	RUN(debugfs_create_file__kprobe, tell_debugfs_file(&run, name, mode, parent, operations));
	return 0;
}

SEC("kprobe/debugfs_create_dir")
int BPF_KPROBE(debugfs_create_dir__kprobe, const char *name, struct dentry *parent)
{
	struct run run = RUN_OF(debugfs_create_dir__kprobe);

	run_begin(&run);
	if (claim(&run, EVENT(debugfs_create_dir))) {
		put_kernel_string(&run, FIELD(debugfs_create_dir, name), name);
		put_debugfs_path(&run, FIELD(debugfs_create_dir, path), parent);
		submit(&run);
	}
	run_end(&run);
	return 0;
}

static __always_inline const char *device_name(struct device *device)
{
	const char *name = BPF_CORE_READ(device, init_name);

	return name ?: BPF_CORE_READ(device, kobj.name);
}

SEC("kprobe/device_add")
int BPF_KPROBE(device_add__kprobe, struct device *device)
{
	struct run run = RUN_OF(device_add__kprobe);
	struct device *parent = BPF_CORE_READ(device, parent);
	const char *name = device_name(device);

	run_begin(&run);
	if (claim(&run, EVENT(device_add))) {
		/* A device without a name gets one of its bus in there. */
		if (name)
			put_kernel_string(&run, FIELD(device_add, name), name);
		if (parent)
			put_kernel_string(&run, FIELD(device_add, parent_name), device_name(parent));
		submit(&run);
	}
	run_end(&run);
	return 0;
}

/* What __register_chrdev was asked for, by the task inside of it. */
struct chrdev_before {
	u64 start_time;
	u64 operations;
	u32 major;
	char name[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct chrdev_before));
} task_chrdev_before SEC(".maps");

static __always_inline void keep_chrdev(struct run *run, u32 major, const char *name, const void *operations)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct chrdev_before before = {.start_time = FROM_TASK(current_task(), start_boottime),
				       .operations = (u64)operations,
				       .major = major};

	bpf_probe_read_kernel_str(before.name, sizeof(before.name), name);
	if (bpf_map_update_elem(&task_chrdev_before, &tid, &before, BPF_ANY))
		ledger_count(run, UNTRACKED);
}

SEC("kprobe/__register_chrdev")
int BPF_KPROBE(register_chrdev_before__kprobe, unsigned int major, unsigned int baseminor, unsigned int count, const char *name,
	       const void *operations)
{
	RUN(register_chrdev_before__kprobe, keep_chrdev(&run, major, name, operations));
	return 0;
}

/* In there, once a number is found. A call that failed before leaves an entry, which the operations tell from this one. */
static __always_inline void tell_chrdev(struct run *run, struct cdev *cdev, dev_t dev)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct chrdev_before *before = bpf_map_lookup_elem(&task_chrdev_before, &tid);

	if (!before)
		return;
	if (before->start_time == FROM_TASK(current_task(), start_boottime) &&
	    before->operations == (u64)BPF_CORE_READ(cdev, ops) && claim(run, EVENT(register_chrdev))) {
		put_u32(run, FIELD(register_chrdev, requested_major_number), before->major);
		put_u32(run, FIELD(register_chrdev, granted_major_number), dev >> 20);
		put_kernel_string(run, FIELD(register_chrdev, char_device_name), before->name);
		put_u64(run, FIELD(register_chrdev, char_device_fops), before->operations);
		submit(run);
	}
	bpf_map_delete_elem(&task_chrdev_before, &tid);
}

SEC("kprobe/cdev_add")
int BPF_KPROBE(register_chrdev__kprobe, struct cdev *cdev, dev_t dev)
{
	RUN(register_chrdev__kprobe, tell_chrdev(&run, cdev, dev));
	return 0;
}

SEC("kprobe/kallsyms_lookup_name")
int BPF_KPROBE(kallsyms_lookup_name__kprobe, const char *name)
{
	struct run run = RUN_OF(kallsyms_lookup_name__kprobe);

	run_begin(&run);
	if (claim(&run, EVENT(kallsyms_lookup_name))) {
		put_kernel_string(&run, FIELD(kallsyms_lookup_name, symbol_name), name);
		submit(&run);
	}
	run_end(&run);
	return 0;
}
