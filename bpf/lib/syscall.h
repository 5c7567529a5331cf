/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Handlers of system calls. One dispatcher stands on each of raw_syscalls' two hooks; what no event wants costs one look at a table
 * there. Handlers of one call follow one another by tail calls: stage 0, 1, ... (numbered by the catalogue so that no two handlers of
 * a call share a stage). Each body has two entries: by BTF, and by perf tracepoint for kernels where the former can be preempted, and
 * then skipped (Linux 7).
 */
#pragma once

#define CALLS 1024 /* numbers: 0 to 511 native, 512 to 1023 of the 32-bit table */
#define COMPAT_BASE 512

/* 1 for each call with a handler. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, CALLS);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cfg_enter_wanted SEC(".maps"), cfg_exit_wanted SEC(".maps");

/* Handlers: at stage * CALLS + number. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CALLS * STAGES);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cfg_enter_handlers SEC(".maps"), cfg_exit_handlers SEC(".maps");

/* A system call at its entry or exit. */
struct call {
	struct task_struct *task;
	struct pt_regs *regs;
	u32 number; /* with COMPAT_BASE added for the 32-bit table */
	s64 ret;
};

/* Whether it is that call, natively or of the 32-bit table: for a body that handles several. */
#define CALL_IS(call, name) ((call)->number == NR_##name || (call)->number == NR_COMPAT_##name)

static __always_inline u64 argument_register(const struct call *call, u32 n)
{
	struct pt_regs *regs = call->regs;
#if defined(__TARGET_ARCH_x86)
	if (call->number >= COMPAT_BASE)
		switch (n) {
		case 0:
			return (u32)regs->bx;
		case 1:
			return (u32)regs->cx;
		case 2:
			return (u32)regs->dx;
		case 3:
			return (u32)regs->si;
		case 4:
			return (u32)regs->di;
		default:
			return (u32)regs->bp;
		}
	switch (n) {
	case 0:
		return regs->di;
	case 1:
		return regs->si;
	case 2:
		return regs->dx;
	case 3:
		return regs->r10;
	case 4:
		return regs->r8;
	default:
		return regs->r9;
	}
#else
	u64 value = n ? regs->regs[n] : regs->orig_x0;

	return call->number >= COMPAT_BASE ? (u32)value : value;
#endif
}

/* The arguments as the call was made with them. A 32-bit call's are 32 bits wide. */
static __always_inline u64 call_argument(const struct call *call, u32 n)
{
	u64 value = argument_register(call, n);

	/* Or the compiler makes one load of this and of another from the stack, by a pointer to either: the verifier refuses it. */
	KEEP(value);
	return value;
}

static __always_inline u32 call_number(struct task_struct *task, u64 number)
{
	number &= COMPAT_BASE - 1;
	return is_compat(task) ? number + COMPAT_BASE : number;
}

#if defined(__TARGET_ARCH_x86)
#define NUMBER_OF(regs) ((regs)->orig_ax)
#else
#define NUMBER_OF(regs) ((regs)->syscallno)
#endif

static __always_inline struct call call_by_btf(struct pt_regs *regs, s64 ret)
{
	struct task_struct *task = current_task();

	return (struct call){.task = task, .regs = regs, .number = call_number(task, NUMBER_OF(regs)), .ret = ret};
}

static __always_inline struct call call_by_perf(s64 number, s64 ret)
{
	struct task_struct *task = current_task();
#ifdef LEGACY
	return (struct call){.task = task};
#else
	return (struct call){.task = task, .regs = current_registers(),
			     .number = call_number(task, number), .ret = ret};
#endif
}

#ifndef LEGACY
/* The system call that the current task is in, for a hook that does not tell. A kernel thread is in none: what comes then is no known call. */
static __always_inline struct call current_call(void)
{
	return call_by_btf(current_registers(), 0);
}
#endif

/* Goes on with the call's handler of the next stage that there is; comes back when there is none. */
static __always_inline void next_handler(void *ctx, void *handlers, u32 number, u32 stage)
{
#pragma clang loop unroll(full)
	for (u32 s = stage; s < STAGES; s++)
		bpf_tail_call(ctx, handlers, s * CALLS + number);
}

/* clang-format off */
#define SYSCALL_HANDLER(name, which, handlers, ret_by_btf, ret_by_perf)                              \
	static __always_inline void name##__body(struct run *run, const struct call *call);          \
	SEC("tp_btf/sys_" #which) int name##__btf(u64 *ctx)                                          \
	{                                                                                            \
		struct call call = call_by_btf((struct pt_regs *)ctx[0], ret_by_btf);                \
		struct run run = RUN_OF(name);                                                       \
		run_begin(&run);                                                                     \
		name##__body(&run, &call);                                                           \
		run_end(&run);                                                                       \
		next_handler(ctx, &handlers, call.number, STAGE_##name + 1);                         \
		return 0;                                                                            \
	}                                                                                            \
	SEC("tp/raw_syscalls/sys_" #which) int name##__perf(struct trace_event_raw_sys_##which *ctx) \
	{                                                                                            \
		struct call call = call_by_perf(ctx->id, ret_by_perf);                               \
		struct run run = RUN_OF(name);                                                       \
		run_begin(&run);                                                                     \
		name##__body(&run, &call);                                                           \
		run_end(&run);                                                                       \
		next_handler(ctx, &handlers, call.number, STAGE_##name + 1);                         \
		return 0;                                                                            \
	}                                                                                            \
	static __always_inline void name##__body(struct run *run, const struct call *call)
/* clang-format on */

/* A handler at the entry, or at the exit, of the calls that the catalogue names for it. */
#define SYSCALL_ENTER(name) SYSCALL_HANDLER(name, enter, cfg_enter_handlers, 0, 0)
#define SYSCALL_EXIT(name) SYSCALL_HANDLER(name, exit, cfg_exit_handlers, ctx[1], ctx->ret)

#define DISPATCHER(name, which, wanted, handlers)                                                    \
	SEC("tp_btf/sys_" #which) int name##__btf(u64 *ctx)                                          \
	{                                                                                            \
		struct pt_regs *regs = (struct pt_regs *)ctx[0];                                     \
		u32 number = call_number(current_task(), NUMBER_OF(regs));                           \
		u32 *any = bpf_map_lookup_elem(&wanted, &number);                                    \
		if (any && *any)                                                                     \
			next_handler(ctx, &handlers, number, 0);                                     \
		return 0;                                                                            \
	}                                                                                            \
	SEC("tp/raw_syscalls/sys_" #which) int name##__perf(struct trace_event_raw_sys_##which *ctx) \
	{                                                                                            \
		u32 number = call_number(current_task(), ctx->id);                                   \
		u32 *any = bpf_map_lookup_elem(&wanted, &number);                                    \
		if (any && *any)                                                                     \
			next_handler(ctx, &handlers, number, 0);                                     \
		return 0;                                                                            \
	}
