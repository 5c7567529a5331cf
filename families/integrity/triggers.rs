//! What is made in user space, of nobody: it is told in any watch, and looked for in tests of their own.

use crate::trigger::Trigger;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "hooked_syscall", elsewhere: Some("rootkit_call"), ..Trigger::NONE },
    Trigger { event: "hidden_kernel_module", elsewhere: Some("rootkit_hides"), ..Trigger::NONE },
    Trigger { event: "hooked_seq_ops", elsewhere: Some("rootkit_files"), ..Trigger::NONE },
    Trigger { event: "hooked_proc_fops", elsewhere: Some("rootkit_files"), ..Trigger::NONE },
    Trigger { event: "ftrace_hook", elsewhere: Some("rootkit_ftrace"), ..Trigger::NONE },
    Trigger { event: "print_mem_dump", elsewhere: Some("memory_dump"), ..Trigger::NONE },
    Trigger { event: "init_namespaces", elsewhere: Some("told_at_start"), ..Trigger::NONE },
    Trigger { event: "tarsius_info", elsewhere: Some("told_at_start"), ..Trigger::NONE },
];
