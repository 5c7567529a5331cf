/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the caller's memory says, beside what the kernel acted on. The kernel copies a name once, when it likes; another thread can write
 * over the original before, meanwhile and after. Events tell what the kernel acted on. The flag `rewritten` tells of the original:
 *
 *   true    it was seen to change during the call, or it does not say what the kernel acted on, and no link can explain it
 *   false   it says what the kernel acted on
 *   none    neither: a link was followed, or the kernel's copy is not to be had, and the memory was not seen to change
 */
#pragma once

enum verdict { NOT_REWRITTEN = 0, REWRITTEN = 1, UNDECIDED = 2 };

static __always_inline void put_verdict(struct run *run, u8 index, u32 verdict)
{
	if (verdict == UNDECIDED)
		put_nothing(run, index, QUALITY_UNAVAILABLE);
	else
		put_u32(run, index, verdict);
}

static long sum_step(u32 index, struct slot **at)
{
	struct slot *slot = *at;

	if (!slot)
		return 1;
	slot->compare.sum = sum_word(slot->compare.sum, *(u64 *)(slot->path + index * sizeof(u64) % PATH_BYTES));
	return 0;
}

/* Before Linux 5.17 the verifier walks through each round: there a sum is over the beginning, of so many words. */
#define SUMMED_WORDS 32

/* Reads a string to where it is summed up and compared: once, so that both are of the same. False if it could not be read whole. */
static __always_inline bool read_name(struct slot *slot, u64 from, u32 source)
{
	long length;

	if (source == FROM_KERNEL)
		length = bpf_probe_read_kernel_str(slot->path, PATH_BYTES, (const void *)from);
	else
		length = bpf_probe_read_user_str(slot->path, PATH_BYTES, (const void *)from);
	if (length <= 0 || length > PATH_BYTES)
		return false;
	length--;
	/* What is summed up in its last word is of this name alone. */
	__builtin_memset(slot->path + length, 0, sizeof(u64));
	slot->compare.length = length;
	return true;
}

static __always_inline u64 sum_name(struct slot *slot)
{
	u32 length = slot->compare.length, words = (length + sizeof(u64) - 1) / sizeof(u64);

	slot->compare.sum = length;
#ifdef LEGACY
	for (u32 i = 0; i < SUMMED_WORDS && i < words; i++)
		sum_step(i, &slot);
#else
	bpf_loop(words, sum_step, &slot, 0);
#endif
	return slot->compare.sum | 1;
}

/* The sum over a string; 0 if it could not be read. */
static __noinline u64 sum_string(struct slot *slot, u64 from, u32 source)
{
	if (!slot || !read_name(slot, from, source))
		return 0;
	return sum_name(slot);
}

#define SHORT_NAME_WORDS 8

/* The same of a name in user memory that is short, as most are: it needs no slot. 0: it is longer, or could not be read. */
static __noinline u64 sum_short_name(u64 from)
{
	u64 words[SHORT_NAME_WORDS] = {}, sum;
	long length = bpf_probe_read_user_str(words, sizeof(words), (const void *)from);

	if (length <= 0 || length >= sizeof(words))
		return 0;
	sum = --length;
#pragma clang loop unroll(full)
	for (u32 i = 0; i < SHORT_NAME_WORDS; i++)
		if (i * sizeof(u64) < length)
			sum = sum_word(sum, words[i]);
	return sum | 1;
}

/* At a call's entry: the sum over a name that it was called with; 0 if it could not be read, or if there is no slot for a long one. */
static __always_inline u64 sum_name_of_call(struct run *run, u64 from)
{
	u64 sum = sum_short_name(from);

	if (sum || (!run->slot && !slot_claim(run)))
		return sum;
	return sum_string(run->slot, from, FROM_USER);
}

/* From the end: the caller's name against the kernel's path. */
static long compare_step(u32 index, struct slot **at)
{
	struct slot *slot = *at;
	u32 path;
	u8 a, b;

	if (!slot)
		return 1;
	path = slot->compare.end - 1 - index;
	KEEP(path);
	slot->compare.differs = 1;
	if (path >= COMPARED_BYTES)
		return 1;
	a = slot->path[(slot->compare.length - 1 - index) & (PATH_BYTES - 1)];
	b = slot->data[path];
	if (a != b)
		return 1;
	slot->compare.differs = 0;
	if (a == '/')
		slot->compare.last = 1;
	return 0;
}

enum fit { FITS, FITS_IN_LAST_NAME, FITS_NOT, UNREADABLE };

/*
 * How the name that was read fits the kernel's path in the field that stands at `offset`: the path ends in it (is it, if it begins with a
 * slash), or only their last names are the same.
 */
static __always_inline enum fit fit_of(struct slot *slot, u32 offset)
{
#ifdef LEGACY
	/* A loop with two ways out of each round is more than the verifier walks through. */
	return UNREADABLE;
#else
	u32 head, length, before, name = slot->compare.length;

	offset &= ~3u;
	KEEP(offset);
	if (offset >= COMPARED_BYTES)
		return UNREADABLE;
	head = *(u32 *)(slot->data + offset);
	length = head >> 16;
	/* A slash at the end names the same directory. */
	if ((head >> 8 & 0xff) != QUALITY_OK || !name || slot->path[(name - 1) & (PATH_BYTES - 1)] == '/')
		return UNREADABLE;
	slot->compare.end = offset + FIELD_HEAD + length;
	slot->compare.last = 0;
	slot->compare.differs = 0;
	bpf_loop(name, compare_step, &slot, 0);
	if (slot->compare.differs)
		return slot->compare.last ? FITS_IN_LAST_NAME : FITS_NOT;
	if (slot->path[0] == '/')
		return length == name ? FITS : FITS_IN_LAST_NAME;
	before = offset + FIELD_HEAD + length - name - 1;
	KEEP(before);
	if (before >= COMPARED_BYTES)
		return UNREADABLE;
	if (slot->data[before] == '/')
		return FITS;
	return slot->compare.last ? FITS_IN_LAST_NAME : FITS_NOT;
#endif
}

/* Sums over what the caller's memory said at the entry of a call, kept for its end. */
struct caller {
	u64 sums[2];
	u64 check; /* over the sums and the task: see sum_word() */
};

/* clang-format off */
#define DEFINE_CALLERS(name)                                                                       \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, 16384);                                                        \
		__uint(key_size, 4);                                                               \
		__uint(value_size, sizeof(struct caller));                                         \
	} name SEC(".maps")
/* clang-format on */

/*
 * What is forgotten here costs a verdict, not an event. A task writes over what is there of it: that is several times cheaper than to put it anew
 * and to take it away again at each call. Should the map give the memory to another task meanwhile, neither of them finds its check.
 */
static __always_inline void keep_caller(void *map, u64 first, u64 second)
{
	struct task_struct *task = current_task();
	u32 tid = FROM_TASK(task, pid);
	struct caller caller = {.sums = {first, second}};
	struct caller *kept = bpf_map_lookup_elem(map, &tid);

	caller.check = sum_word(sum_word(FROM_TASK(task, start_boottime), first), second);
	if (!kept) {
		bpf_map_update_elem(map, &tid, &caller, BPF_ANY);
		return;
	}
	*(volatile u64 *)&kept->sums[0] = first;
	*(volatile u64 *)&kept->sums[1] = second;
	*(volatile u64 *)&kept->check = caller.check;
}

/* The sums kept for this call, once; zero for none. Each word is read once. */
static __always_inline struct caller caller_of(void *map)
{
	struct task_struct *task = current_task();
	u32 tid = FROM_TASK(task, pid);
	struct caller *kept = bpf_map_lookup_elem(map, &tid);
	struct caller caller = {};

	if (!kept)
		return caller;
	caller.sums[0] = *(volatile u64 *)&kept->sums[0];
	caller.sums[1] = *(volatile u64 *)&kept->sums[1];
	caller.check = *(volatile u64 *)&kept->check;
	*(volatile u64 *)&kept->check = 0;
	if (sum_word(sum_word(FROM_TASK(task, start_boottime), caller.sums[0]), caller.sums[1]) != caller.check)
		return (struct caller){};
	return caller;
}

/*
 * The name that an event tells, or that is in the caller's memory, against its sum at the entry and the kernel's path in the field at `offset`.
 * `own`: the path is that of the name itself, so that no link at its end can explain another last name.
 */
static __noinline u32 verdict_on(struct slot *slot, u64 name, u32 source, u64 before, u32 offset_and_own)
{
	enum fit fit;

	if (!slot || !read_name(slot, name, source))
		return UNDECIDED;
	if (before && sum_name(slot) != before)
		return REWRITTEN;
	fit = fit_of(slot, offset_and_own);
	if (fit == FITS)
		return NOT_REWRITTEN;
	return fit == FITS_NOT && offset_and_own & 1 ? REWRITTEN : UNDECIDED;
}

/* Fields stand at multiples of 4. */
#define OWN_NAME 1
#define NO_FIELD ~0u
