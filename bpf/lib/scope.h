/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is this task in scope? Decided before a slot is claimed. Only what is necessary is asked here: user space checks the whole scope
 * again, so what a list here can not say costs a record, never an event.
 */
#pragma once

/* clang-format off */
#define DEFINE_LIST(name, bytes)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(map_flags, BPF_F_RDONLY_PROG);                                              \
		__uint(max_entries, 1024);                                                         \
		__uint(key_size, bytes);                                                           \
		__uint(value_size, 1);                                                             \
	} name SEC(".maps")
/* clang-format on */

DEFINE_LIST(cfg_uids, 4);
DEFINE_LIST(cfg_pids, 4);
DEFINE_LIST(cfg_tids, 4);
DEFINE_LIST(cfg_comms, COMM_BYTES);
DEFINE_LIST(cfg_mnt_namespaces, 4);
DEFINE_LIST(cfg_pid_namespaces, 4);

/*
 * The watched trees that a process is in: by its pid, one word with a bit for each tree, so that a reader in another lane sees it
 * whole. Written at fork and exit by the life lane, and by user space at start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
#ifndef LEGACY
	__uint(map_flags, BPF_F_NO_PREALLOC);
#endif
	__uint(max_entries, 65536);
	__uint(key_size, 4);
	__uint(value_size, 8);
} scope_tree SEC(".maps");

/* The trees that a process must be in, and must not be in. Filled once user space has found the trees' members. */
struct tree_scope {
	u64 all, none;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct tree_scope));
} cfg_trees SEC(".maps");

static __always_inline u64 trees_of(u32 pid)
{
	u64 *trees = bpf_map_lookup_elem(&scope_tree, &pid);

	return trees ? *trees : 0;
}

static __always_inline bool trees_admit(u32 pid)
{
	u32 zero = 0;
	struct tree_scope *asked = bpf_map_lookup_elem(&cfg_trees, &zero);
	u64 trees;

	if (!asked || !(asked->all | asked->none))
		return true;
	trees = trees_of(pid);
	return (trees & asked->all) == asked->all && !(trees & asked->none);
}

/*
 * The task is in every tree that it must be in, and user space has said in which. It is told with the record: user space knows a tree from
 * the births that it is told of, and one of them may have been lost.
 */
static __always_inline bool is_in_trees(u32 pid)
{
	u32 zero = 0;
	struct tree_scope *asked = bpf_map_lookup_elem(&cfg_trees, &zero);

	return asked && asked->all && (trees_of(pid) & asked->all) == asked->all;
}

static __always_inline bool list_admits(void *list, const void *key, u32 mode)
{
	if (mode == SCOPE_OFF)
		return true;
	return !!bpf_map_lookup_elem(list, key) == (mode == SCOPE_ONLY);
}

/* The current task is not what Tarsius leaves out, and may be in scope. */
static __always_inline bool in_scope(struct task_struct *task)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 pid = pid_tgid >> 32;

	if (pid == cfg.self && cfg.self)
		return false;
	if (!trees_admit(pid))
		return false;
	if (!list_admits(&cfg_pids, &pid, cfg.pid))
		return false;
	if (cfg.tid != SCOPE_OFF) {
		u32 tid = pid_tgid;

		if (!list_admits(&cfg_tids, &tid, cfg.tid))
			return false;
	}
	if (cfg.uid != SCOPE_OFF) {
		u32 uid = bpf_get_current_uid_gid();

		if (!list_admits(&cfg_uids, &uid, cfg.uid))
			return false;
	}
	if (cfg.comm != SCOPE_OFF) {
		char comm[COMM_BYTES] = {};

		bpf_get_current_comm(comm, sizeof(comm));
		if (!list_admits(&cfg_comms, comm, cfg.comm))
			return false;
	}
	if (cfg.mnt_ns != SCOPE_OFF) {
		u32 ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);

		if (!list_admits(&cfg_mnt_namespaces, &ns, cfg.mnt_ns))
			return false;
	}
	if (cfg.pid_ns != SCOPE_OFF) {
		u32 ns = pid_namespace_of(BPF_CORE_READ(task, thread_pid));

		if (!list_admits(&cfg_pid_namespaces, &ns, cfg.pid_ns))
			return false;
	}
	return true;
}
