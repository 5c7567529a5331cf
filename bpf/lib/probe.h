/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a family's programs are written with.
 *
 *   SYSCALL_EXIT(security_inode_unlink)
 *   {
 *           if (call->ret < 0 || !claim_call(run, call, EVENT(security_inode_unlink)))
 *                   return;
 *           put_named_path(run, FIELD(security_inode_unlink, pathname), AT_FDCWD, call_argument(call, 0));
 *           submit(run);
 *   }
 *
 * The body tells what happened; the entry around it counts the attempt, gives the slot back and counts the outcome, on every path.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "catalogue.h"
#include "record.h"
#include "lane.h"
#include "task.h"
#include "field.h"
#include "sieve.h"
#include "scope.h"
#include "path.h"
#include "syscall.h"
#include "caller.h"
#include "mapping.h"
#include "stack.h"

#define EVENT(name) EVENT_##name
#define WANTED(name) (cfg.events[INDEX_##name])

/* Events that came to be wanted after the programs were loaded: as in cfg.events. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, EVENTS);
	__uint(key_size, 4);
	__uint(value_size, 1);
} cfg_more_events SEC(".maps");

static __always_inline u8 wanted_later(u32 index)
{
	u8 *wanted = bpf_map_lookup_elem(&cfg_more_events, &index);

	return wanted ? *wanted : 0;
}
#define FIELD(event, name) FIELD_##event##__##name

/* The common head of every record: when, where, which. */
static __always_inline void put_header(struct run *run, u16 event)
{
	struct record_header *header = &run->slot->header;

	header->time = bpf_ktime_get_boot_ns();
	header->event = event;
	header->probe = run->probe;
	header->lane = run->lane;
	header->flags = 0;
	header->cpu = run->cpu;
	header->syscall = 0;
	header->ret = 0;
}

/* The identity of the current task. */
static __always_inline void put_current(struct run *run, struct task_struct *task)
{
	if (is_in_trees(bpf_get_current_pid_tgid() >> 32))
		run->slot->header.flags |= RECORD_IN_TREE;
	put_task(&run->slot->header, task);
}

#ifndef LEGACY
/* The task is in io_uring_enter: it carries out requests, of its own accord does that call nothing that an event is about. */
static __always_inline bool is_in_ring_call(struct task_struct *task)
{
	struct pt_regs *regs = current_registers();

	return NUMBER_OF(regs) == NR_io_uring_enter;
}
#endif

/* Claims a slot for an event of the current task, if it is in scope. Who that is put_actor() adds. */
static __always_inline bool claim_unnamed(struct run *run, u16 event)
{
	if (!in_scope(run, current_task(), event, 0, false) || !slot_claim(run))
		return false;
	run->slot->header.event = event;
	return true;
}

/* Fills the header with the identity of the current task, or with that of who had it work. */
static __always_inline void put_actor(struct run *run)
{
	struct task_struct *task = current_task();

	put_header(run, run->slot->header.event);
	put_current(run, task);
	if (is_compat(task))
		run->slot->header.flags |= RECORD_COMPAT;
#ifndef LEGACY
	if (FROM_TASK(task, flags) & PF_IO_WORKER) {
		run->slot->header.flags |= RECORD_IO_URING;
		put_submitter(&run->slot->header, task);
	} else if (is_in_ring_call(task)) {
		run->slot->header.flags |= RECORD_IO_URING;
	}
#endif
}

/* Both. */
static __always_inline bool claim(struct run *run, u16 event)
{
	if (!claim_unnamed(run, event))
		return false;
	put_actor(run);
	return true;
}

/*
 * The same whatever the scope says, but for Tarsius itself: births, executions and deaths, by which user space knows who everyone is.
 */
static __always_inline bool claim_anyone(struct run *run, u16 event)
{
	if ((bpf_get_current_pid_tgid() >> 32 == cfg.self && cfg.self) || !slot_claim(run))
		return false;
	put_header(run, event);
	put_current(run, current_task());
	return true;
}

#define MAX_ERRNO 4095

/* What the caller sees of what its call returned: of one of 32 bits so many, negative only where it is an error. */
static __always_inline s64 told_return(const struct call *call)
{
	if (call->number < COMPAT_BASE)
		return call->ret;
	return (u32)call->ret >= (u32)-MAX_ERRNO ? (s64)(s32)call->ret : (u32)call->ret;
}

/* At a call's entry: what it will return is not known. */
static __always_inline bool entry_in_scope(struct run *run, const struct call *call, u16 event)
{
	return in_scope(run, call->task, event, 0, false);
}

/* Fills the header with the caller's identity, the call's number and what it has returned. */
static __always_inline void put_caller(struct run *run, const struct call *call)
{
	struct record_header *header = &run->slot->header;

	put_header(run, header->event);
	put_current(run, call->task);
	header->syscall = call->number & (COMPAT_BASE - 1);
	header->flags |= RECORD_SYSCALL | RECORD_RETURN;
	header->ret = told_return(call);
	if (call->number >= COMPAT_BASE)
		header->flags |= RECORD_COMPAT;
}

/* A record of a system call, of which it was asked whether it is in scope. */
static __always_inline bool claim_record(struct run *run, const struct call *call, u16 event)
{
	if (!slot_claim(run))
		return false;
	run->slot->header.event = event;
	put_caller(run, call);
	return true;
}

static __always_inline bool call_in_scope(struct run *run, const struct call *call, u16 event)
{
	return in_scope(run, call->task, event, told_return(call), true);
}

/* The same as claim() for an event of a system call: with the call's number, and its return value at its exit. */
static __always_inline bool claim_call(struct run *run, const struct call *call, u16 event)
{
	return call_in_scope(run, call, event) && claim_record(run, call, event);
}

/* The same as claim_unnamed(): who calls put_caller() adds. */
static __always_inline bool claim_call_unnamed(struct run *run, const struct call *call, u16 event)
{
	if (!call_in_scope(run, call, event) || !slot_claim(run))
		return false;
	run->slot->header.event = event;
	return true;
}

/* The same at the call's entry: it has no return value yet. */
static __always_inline bool claim_entry(struct run *run, const struct call *call, u16 event)
{
	if (!entry_in_scope(run, call, event) || !claim_record(run, call, event))
		return false;
	run->slot->header.flags &= ~RECORD_RETURN;
	return true;
}

/* The record is complete. */
static __always_inline void submit(struct run *run)
{
	run->submit = true;
}

/*
 * Runs a body: what every entry that is not a handler of system calls is made of.
 *
 *   SEC("lsm/file_open") int BPF_PROG(security_file_open__lsm, struct file *file)
 *   {
 *           RUN(security_file_open__lsm, tell_open(&run, file));
 *           return 0;
 *   }
 */
#define RUN(program, body)                                   \
	do {                                                 \
		struct run run = RUN_OF(program);            \
		run_begin(&run);                             \
		body;                                        \
		run_end(&run);                               \
	} while (0)

/* The same on a hook that can refuse the act; true: a policy has it refused. */
#define REFUSES(program, body)                               \
	({                                                   \
		struct run run = RUN_OF(program);            \
		run_begin(&run);                             \
		body;                                        \
		run_end(&run);                               \
		run.deny;                                    \
	})

#define EPERM 1

/*
 * What a hook of LSM answers. By a branch: of the arithmetic that the compiler would make of it, the verifier of Linux 6.12 knows no bounds, and
 * refuses the program (that of 7.3 takes it).
 */
static __always_inline int answer(bool refused)
{
	int error = -EPERM;

	if (!refused)
		return 0;
	KEEP(error);
	return error;
}

#include "socket.h"
#include "owner.h"
