// SPDX-License-Identifier: GPL-2.0
/*
 * Hooks a function with ftrace, as rootkits do: only to be found. The hook does nothing.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
static void notrace tarsius_callback(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct pt_regs *regs)
#else
static void notrace tarsius_callback(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, struct ftrace_regs *regs)
#endif
{
}

static struct ftrace_ops tarsius_ops = {
	.func = tarsius_callback,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static char *symbol = "commit_creds";
module_param(symbol, charp, 0);

static int __init tarsius_init(void)
{
	int error = ftrace_set_filter(&tarsius_ops, (unsigned char *)symbol, strlen(symbol), 0);

	return error ?: register_ftrace_function(&tarsius_ops);
}

static void __exit tarsius_exit(void)
{
	unregister_ftrace_function(&tarsius_ops);
}

module_init(tarsius_init);
module_exit(tarsius_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
MODULE_DESCRIPTION("Test of Tarsius: a hook by ftrace");
