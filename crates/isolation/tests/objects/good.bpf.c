/* Keeps every rule, and uses everything that the rules allow. */
#include "bpf.h"

struct ring {
	__uint(type, RINGBUF);
	__uint(max_entries, 4096);
};

MAP(life_slots, ARRAY, 0);
MAP(life_ledger, ARRAY, 0);
MAP(net_slots, ARRAY, 0);
MAP(cfg_scope, HASH, RDONLY_PROG);
MAP(scope_tree, HASH, 0);

int life_fork(void *ctx);
int net_packet(void *ctx);

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} cfg_tails SEC(".maps") = { .values = { [1] = (void *)&net_packet } };

struct {
	__uint(type, ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, struct ring);
} life_rings SEC(".maps");

struct {
	__uint(type, TASK_STORAGE);
	__uint(map_flags, 1);
	__type(key, u32);
	__type(value, u64);
} task_state SEC(".maps");

const volatile u64 settings = 1;
extern int CONFIG_HZ __attribute__((section(".kconfig")));
extern const void bpf_prog_active __attribute__((section(".ksyms")));

static noinline long count(u32 index, u64 *sum)
{
	*sum += index + READ(life_ledger);
	return 0;
}

static noinline u64 watched(u32 key)
{
	u64 *word = lookup(&scope_tree, &key);
	u64 now = ktime();

	return word ? *word & now : 0;
}

SEC("raw_tp/fork") int life_fork(void *ctx)
{
	u64 sum = READ(life_slots) + READ(cfg_scope) + settings + CONFIG_HZ + (u64)lookup(&life_rings, &ctx);
	u32 key = sum;

	loop(4, count, &sum, 0);
	update(&scope_tree, &key, &sum, 0);
	return sum;
}

SEC("raw_tp/exec") int life_exec(void *ctx)
{
	u64 copy = 0;

	read_kernel(&copy, 8, &bpf_prog_active);
	return watched(7) + copy;
}

SEC("raw_tp/open") int task_open(void *ctx)
{
	u64 *state = storage_get(&task_state, current_task(), 0, 1);

	if (state)
		*state += watched(9);
	return 0;
}

SEC("socket") int net_packet(void *ctx)
{
	return READ(net_slots);
}

SEC("socket") int net_entry(void *ctx)
{
	tail_call(ctx, &cfg_tails, 1);
	return READ(scope_tree);
}
