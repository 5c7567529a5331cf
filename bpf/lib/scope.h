/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * May this be wanted? Decided before a slot is claimed as far as the task decides it. Only what is necessary is asked here: user space checks
 * all of it again, so what can not be said here costs a record, never an event.
 */
#pragma once

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

/*
 * In the same map, under a process's number with this bit, which no number has: by which scopes the kernel follows the process. A process that
 * meets the others of a scope's conditions, for all that can be known, as it executes something or makes another, is followed, and what it
 * makes. User space follows only those that do meet them.
 */
#define FOLLOWED (1U << 31)

/* A bit for each scope by which a process is followed, since it was made, or since it was found when the scope came into force. */
static __always_inline u64 followed_by(u32 pid)
{
	return trees_of(pid) | trees_of(pid | FOLLOWED);
}

/* Adds to the bits that stand there; false: there is no room. */
static __always_inline bool add_marks(u32 key, u64 marks)
{
	u64 *word = bpf_map_lookup_elem(&scope_tree, &key);

	/* Another thread of the process may come between. */
	if (!word && bpf_map_update_elem(&scope_tree, &key, &marks, BPF_NOEXIST))
		word = bpf_map_lookup_elem(&scope_tree, &key);
	else if (!word)
		return true;
	if (!word)
		return false;
#ifdef LEGACY
	/* Those kernels can not add bits as one act: one that is lost to another thread's comes when the process next executes or makes something. */
	*(volatile u64 *)word = *(volatile u64 *)word | marks;
#else
	__sync_fetch_and_or(word, marks);
#endif
	return true;
}

/* Follows the process by those scopes that these classes are met for; false: there is no room. */
static __noinline bool follow(struct sieve *sieve, u64 met, u32 pid)
{
	u64 marks = 0;

	if (!sieve)
		return true;
	met &= sieve->follows;
	for (u32 i = 0; i < CLASSES; i++)
		marks |= sieve->mark[i] & -(met >> i & 1);
	return !marks || add_marks(pid | FOLLOWED, marks);
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

/*
 * What a process runs, by its pid: the number that user space has given to the executable's path, some time after the execution. The check is
 * over that and over which execution of which process it is: what it runs by now may be something else, and what is read here another's.
 */
struct executable {
	u64 number;
	u64 check;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
#ifdef LEGACY
	__uint(map_flags, BPF_F_RDONLY_PROG);
#else
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
#endif
	__uint(max_entries, 65536);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct executable));
} cfg_executables SEC(".maps");

/* The number; 0: not known. */
static __always_inline u64 executable_of(struct task_struct *task)
{
	u32 pid = FROM_TASK(task, tgid);
	struct executable *executable = bpf_map_lookup_elem(&cfg_executables, &pid);
	u64 number, check;

	if (!executable)
		return 0;
	number = *(volatile u64 *)&executable->number;
	check = sum_word(number, FROM_TASK(task, group_leader, start_boottime));
	check = sum_word(check, FROM_TASK(task, self_exec_id));
	return check == *(volatile u64 *)&executable->check ? number : 0;
}

/* The current task is not what Tarsius leaves out, and is in the trees that are watched. */
static __always_inline bool is_watched(struct task_struct *task)
{
	u32 pid = FROM_TASK(task, tgid);

	return !(pid == cfg.self && cfg.self) && trees_admit(pid);
}

/*
 * An event of the current task may be wanted, for all that can be known before it is looked at; at a call's exit with `returns`, by what it
 * has returned. In the place of a worker of io_uring stands who submitted (put_submitter): the record says who that is.
 */
static __always_inline bool in_scope(struct run *run, struct task_struct *task, u16 event, s64 ret, bool returns)
{
	struct sieve *sieve;

	run->met = ALL_CLASSES;
	if (!is_watched(task))
		return false;
	run->sieve = sieve = sieve_of(event);
	if (!sieve || FROM_TASK(task, flags) & PF_IO_WORKER)
		return true;
	run->met = classes_of_task(sieve, task, ret, returns);
	return run->met;
}

/*
 * The record, of which some fields are there, may be wanted. A body asks this once it has put what most is asked of, and before it puts what
 * costs most, who acts among it: whatever it says, the whole record is asked again.
 */
static __always_inline bool may_be_wanted(struct run *run)
{
	return !run->sieve || may_pass(run->slot, run->sieve, run->met, true);
}

#define SIGKILL 9

/*
 * Does what policies want done to who acts so, and to the act. Only what is met for sure has it done, and only to the process that acts: what
 * a ring's request has come to is told in whatever task completes it.
 */
static __always_inline void enforce(struct run *run, struct sieve *sieve)
{
	struct record_header *header = &run->slot->header;
	u64 met;

	if (header->origin != ORIGIN_CURRENT || header->pid != bpf_get_current_pid_tgid() >> 32)
		return;
	/* Whatever a policy says of it: who would tell the rest? */
	if (header->pid == cfg.own)
		return;
	met = surely_met(run->slot, sieve, sieve->kill | sieve->deny);
	if (run->denies && met & sieve->deny) {
		run->deny = true;
		header->flags |= RECORD_DENIED;
	}
	if (run->stack && met & sieve->kill && !bpf_send_signal(SIGKILL))
		header->flags |= RECORD_KILLED;
}

/* The record may be wanted: asked of each before it is submitted. */
static __always_inline bool is_wanted(struct run *run)
{
	struct sieve *sieve = sieve_of(run->slot->header.event);

	if (!sieve)
		return true;
	if (!may_pass(run->slot, sieve, run->met, false))
		return false;
	/* The verifier sees the constants: programs on packets can neither, and must not ask for the task before Linux 6.10. */
	if ((run->stack || run->denies) && (sieve->kill | sieve->deny))
		enforce(run, sieve);
	return !run->only_denied || run->deny;
}
