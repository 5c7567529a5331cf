/* Writes scope_tree: FAULT says how. 0 only reads it, in every way that is allowed. */
#include "bpf.h"

#ifndef WORD
#define WORD u64
#endif

struct {
#if FAULT >= 20
	__uint(type, TASK_STORAGE);
#else
	__uint(type, HASH);
#endif
	__uint(map_flags, 1);
	__type(key, u32);
	__type(value, WORD);
} scope_tree SEC(".maps");

MAP(task_state, HASH, 0);

struct pair {
	u64 *first;
	u64 second;
};

static noinline long by_callback(void *map, u32 *key, u64 *value, void *ctx)
{
	*value = 1;
	return 0;
}

static noinline long by_context(u32 index, struct pair *pair)
{
	*pair->first = 1;
	return 0;
}

static noinline void store(u64 *word)
{
	*(volatile u64 *)word = 1;
}

static noinline u64 *find(u32 key)
{
	return lookup(&scope_tree, &key);
}

static noinline u64 *find_in(void *map, u32 key)
{
	return lookup(map, &key);
}

static noinline u64 add(u32 key)
{
	u64 *word = lookup(&scope_tree, &key);

	if (word)
		*word += 1;
	return 0;
}

SEC("raw_tp/a") int task_probe(void *ctx)
{
	u32 key = 1;
	u64 one = 1, copy = 0;
	volatile u64 stacked = ktime();
#if FAULT >= 20
	u64 *word = storage_get(&scope_tree, current_task(), 0, FAULT == 21);
#else
	u64 *word = lookup(&scope_tree, &key);
#endif
	u64 *own = lookup(&task_state, &key);

	/* All of this is allowed: it reads the one and writes the other. */
	if (!word || !own)
		return 0;
	*own = *word + stacked;
	update(&task_state, &key, &one, 0);
	read_kernel(&copy, 8, word);
	delete (&task_state, &key);
#if FAULT == 1
	update(&scope_tree, &key, &one, 0);
#elif FAULT == 2
	delete (&scope_tree, &key);
#elif FAULT == 3
	*word = 1;
#elif FAULT == 4
	__sync_fetch_and_add(word, 1);
#elif FAULT == 5
	read_kernel(word, 8, own);
#elif FAULT == 6
	add(2);
#elif FAULT == 7
	store(word);
#elif FAULT == 8
	for_each(&scope_tree, by_callback, 0, 0);
#elif FAULT == 9
	struct pair pair = { word, 0 };
	loop(2, by_context, &pair, 0);
#elif FAULT == 10
	u64 *found = find(3);
	if (found)
		*found = 1;
#elif FAULT == 11
	/* Of both maps, so that clang does not write either into the function. */
	u64 *found = find_in(&scope_tree, 3), *other = find_in(&task_state, 3);
	if (found && other)
		*found = *other;
#elif FAULT == 12
	/* Through the stack, and on one path of two. */
	u64 *volatile kept = own;
	if (copy & 1)
		kept = word;
	*kept = 1;
#elif FAULT == 13
	void *map = copy & 1 ? (void *)&scope_tree : (void *)&task_state;
	update(map, &key, &one, 0);
#elif FAULT == 14
	*(u64 **)own = word;
#endif
	return copy;
}
