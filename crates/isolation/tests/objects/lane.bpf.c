/* A program reaches another lane's map: itself (1), by a subprogram of .text (2), by a static function called from
 * one (3), by a callback (4), by a global function (5), by what a map holds from the start: a map (6), a program (7). */
#include "bpf.h"

MAP(task_state, HASH, 0);
MAP(net_state, HASH, 0);

#if FAULT
#define STATE net_state
#else
#define STATE task_state
#endif

int task_next(void *ctx);

struct inner {
	__uint(type, HASH);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, u64);
} net_inner SEC(".maps"), task_inner SEC(".maps");

struct {
	__uint(type, ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, struct inner);
#if FAULT == 6
} task_outer SEC(".maps") = { .values = { [1] = &net_inner } };
#else
} task_outer SEC(".maps") = { .values = { [1] = &task_inner } };
#endif

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
#if FAULT == 7
} cfg_tails SEC(".maps") = { .values = { [1] = (void *)&task_next } };
#else
} cfg_tails SEC(".maps");
#endif

static noinline u64 padding(u64 x)
{
	return x * ktime();
}

static noinline u64 inner(void)
{
	return READ(STATE) + padding(1);
}

static noinline u64 outer(void)
{
	return inner() * padding(2);
}

static noinline long callback(u32 index, void *ctx)
{
	return inner() > 9;
}

noinline u64 global(void)
{
	return READ(STATE) + 2;
}

#if FAULT == 7
SEC("raw_tp/b") int task_next(void *ctx)
{
	return READ(net_state);
}
#endif

SEC("raw_tp/a") int task_probe(void *ctx)
{
#if FAULT == 1
	return READ(net_state);
#elif FAULT == 2
	return inner() + padding(3);
#elif FAULT == 4
	return loop(3, callback, 0, 0);
#elif FAULT == 5
	return global();
#elif FAULT == 6
	return !lookup(&task_outer, &ctx);
#elif FAULT == 7
	return tail_call(ctx, &cfg_tails, 1);
#else
	return outer() + loop(3, callback, 0, 0) + global();
#endif
}
