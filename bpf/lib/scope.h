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

/*
 * What of this is asked. It may change while programs run, word by word: a half-old one admits what one of both does, and user space
 * lets everything pass in between.
 */
struct scope {
	u64 tree_all, tree_none; /* trees that a process must be in, and must not be in: once user space has found their members */
	u32 uid, pid, tid, comm, mnt_ns, pid_ns; /* enum scope_mode */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct scope));
} cfg_scope SEC(".maps");

static __always_inline struct scope *asked_scope(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cfg_scope, &zero);
}

static __always_inline u64 trees_of(u32 pid)
{
	u64 *trees = bpf_map_lookup_elem(&scope_tree, &pid);

	return trees ? *trees : 0;
}

static __always_inline bool trees_admit(struct scope *asked, u32 pid)
{
	u64 all = asked->tree_all, none = asked->tree_none, trees;

	if (!(all | none))
		return true;
	trees = trees_of(pid);
	return (trees & all) == all && !(trees & none);
}

/*
 * The task is in every tree that it must be in, and user space has said in which. It is told with the record: user space knows a tree from
 * the births that it is told of, and one of them may have been lost.
 */
static __always_inline bool is_in_trees(u32 pid)
{
	struct scope *asked = asked_scope();
	u64 all = asked ? asked->tree_all : 0;

	return all && (trees_of(pid) & all) == all;
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
	struct scope *asked = asked_scope();

	if (pid == cfg.self && cfg.self)
		return false;
	if (!asked)
		return true;
	if (!trees_admit(asked, pid))
		return false;
	if (!list_admits(&cfg_pids, &pid, asked->pid))
		return false;
	if (asked->tid != SCOPE_OFF) {
		u32 tid = pid_tgid;

		if (!list_admits(&cfg_tids, &tid, asked->tid))
			return false;
	}
	if (asked->uid != SCOPE_OFF) {
		u32 uid = bpf_get_current_uid_gid();

		if (!list_admits(&cfg_uids, &uid, asked->uid))
			return false;
	}
	if (asked->comm != SCOPE_OFF) {
		char comm[COMM_BYTES] = {};

		bpf_get_current_comm(comm, sizeof(comm));
		if (!list_admits(&cfg_comms, comm, asked->comm))
			return false;
	}
	if (asked->mnt_ns != SCOPE_OFF) {
		u32 ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);

		if (!list_admits(&cfg_mnt_namespaces, &ns, asked->mnt_ns))
			return false;
	}
	if (asked->pid_ns != SCOPE_OFF) {
		u32 ns = pid_namespace_of(BPF_CORE_READ(task, thread_pid));

		if (!list_admits(&cfg_pid_namespaces, &ns, asked->pid_ns))
			return false;
	}
	return true;
}
