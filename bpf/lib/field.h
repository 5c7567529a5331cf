/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Fields of the record under construction. A field that does not fit marks the record too big; the run then ends as TOO_BIG. Nothing
 * is written as if it were a value when it could not be read: the quality says so.
 */
#pragma once

#define FIELD_HEAD 4
#define STRING_BYTES 4096
#define ARRAY_BYTES 32768

/* Keeps the compiler from loading a checked value a second time, unchecked. */
#define KEEP(value) asm volatile("" : "+r"(value))

/*
 * The value again, of which the verifier knows nothing any more. It follows each value that it knows to the end of the program: where
 * several system calls keep their arguments in different places, that is all combinations.
 */
static __always_inline u64 forget(struct slot *slot, u64 value)
{
	volatile u64 *at = &slot->scratch;

	*at = value;
	return *at;
}

/*
 * The same without a slot, by a helper's call. What a loop's steps change on the stack begins with it: before Linux 6.7 the verifier looks at
 * the step of bpf_loop() once, with what the stack holds before the first, and removes the branches that are never taken with that.
 */
static __always_inline u64 forget_here(u64 value)
{
	u64 again = 0;

	bpf_probe_read_kernel(&again, sizeof(again), &value);
	return again;
}

static __always_inline void put_head(u8 *at, u8 index, u8 quality, u32 length)
{
	*(u32 *)at = index | (u32)quality << 8 | length << 16;
}

/* Room for a field of a known size; NULL if there is none. */
static __always_inline u8 *field_room(struct slot *slot, u32 max, u32 length)
{
	u32 used = *(volatile u32 *)&slot->used;

	KEEP(used);
	if (used > max - FIELD_HEAD - length) {
		slot->too_big = 1;
		return NULL;
	}
	return slot->data + used;
}

static __always_inline void put_fixed(struct run *run, u8 index, const void *value, u32 length)
{
	u8 *at = field_room(run->slot, run->max, length);

	if (!at)
		return;
	put_head(at, index, QUALITY_OK, length);
	__builtin_memcpy(at + FIELD_HEAD, value, length);
	run->slot->used += FIELD_HEAD + length;
}

static __always_inline void put_u32(struct run *run, u8 index, u32 value)
{
	u8 *at = field_room(run->slot, run->max, 4);

	if (!at)
		return;
	put_head(at, index, QUALITY_OK, 4);
	*(u32 *)(at + FIELD_HEAD) = value;
	run->slot->used += FIELD_HEAD + 4;
}

static __always_inline void put_u64(struct run *run, u8 index, u64 value)
{
	u8 *at = field_room(run->slot, run->max, 8);

	if (!at)
		return;
	put_head(at, index, QUALITY_OK, 8);
	*(u64 *)(at + FIELD_HEAD) = value;
	run->slot->used += FIELD_HEAD + 8;
}

/* A field without a value, and why. */
static __always_inline void put_nothing(struct run *run, u8 index, enum quality quality)
{
	u8 *at = field_room(run->slot, run->max, 0);

	if (!at)
		return;
	put_head(at, index, quality, 0);
	run->slot->used += FIELD_HEAD;
}

/*
 * Closes a field of `length` bytes that stands behind its head at `used`: writes the head, clears the padding.
 * Room for STRING_BYTES or more has been checked by the caller; `length` is bounded by `limit`.
 */
static __always_inline void close_field(struct slot *slot, u32 max, u8 index, u8 quality, u32 length)
{
	u32 used = *(volatile u32 *)&slot->used;
	u32 end;

	KEEP(used);
	if (used > max - FIELD_HEAD) {
		slot->too_big = 1;
		return;
	}
	put_head(slot->data + used, index, quality, length);
	end = used + FIELD_HEAD + length;
	KEEP(end);
	if (end > max - 4) {
		slot->too_big = 1;
		return;
	}
	*(u32 *)(slot->data + end) = 0;
	slot->used = (end + 3) & ~3u;
}

/* Marks the field that stands at `before`, unless it is marked already. */
static __always_inline void mark_unsure(struct run *run, u32 before, enum quality sure)
{
	KEEP(before);
	if (sure != QUALITY_OK && before < run->max - FIELD_HEAD && before < run->slot->used && !run->slot->data[before + 1])
		run->slot->data[before + 1] = sure;
}

/* The field that was put at `before`, the last, could not be read: it is taken back. */
static __always_inline bool take_back_faulted(struct run *run, u32 before)
{
	KEEP(before);
	if (before >= run->max - FIELD_HEAD || before >= run->slot->used || run->slot->data[before + 1] != QUALITY_FAULTED)
		return false;
	run->slot->used = before;
	return true;
}

enum string_source { FROM_KERNEL, FROM_USER, FROM_CLAIM };

/* A string that ends with a NUL, up to STRING_BYTES. */
static __noinline int put_string_at(struct slot *slot, u32 max, u32 index, const void *from, u32 source)
{
	u32 quality = QUALITY_OK;
	u8 *at;
	long length;

	if (!slot)
		return 0;
	/* Two more than the limit: the NUL, and one byte that tells a string of just the limit from a longer one. */
	at = field_room(slot, max, STRING_BYTES + 2 + 4);
	if (!at)
		return 0;
	if (source == FROM_KERNEL)
		length = bpf_probe_read_kernel_str(at + FIELD_HEAD, STRING_BYTES + 2, from);
	else
		length = bpf_probe_read_user_str(at + FIELD_HEAD, STRING_BYTES + 2, from);
	if (length <= 0) {
		length = 0;
		quality = QUALITY_FAULTED;
	} else {
		length -= 1;
		if (source == FROM_CLAIM)
			quality = QUALITY_UNRESOLVED;
		if (length > STRING_BYTES) {
			length = STRING_BYTES;
			quality = QUALITY_TRUNCATED;
		}
	}
	close_field(slot, max, index, quality, length);
	return 0;
}

static __always_inline void put_kernel_string(struct run *run, u8 index, const void *from)
{
	put_string_at(run->slot, run->max, index, from, FROM_KERNEL);
}

/* A string in the memory of the current task: what it is now, not what the kernel acted on. */
static __always_inline void put_user_string(struct run *run, u8 index, u64 from)
{
	put_string_at(run->slot, run->max, index, (const void *)from, FROM_USER);
}

/* The same where the kernel's own copy was looked for in vain: marked as nobody's word but the caller's. */
static __always_inline void put_claimed_string(struct run *run, u8 index, u64 from)
{
	put_string_at(run->slot, run->max, index, (const void *)from, FROM_CLAIM);
}

/* Strings one after the other, each with its NUL, between two addresses of the current task: argv and env. */
static __noinline int put_user_array_at(struct slot *slot, u32 max, u32 index, u64 start, u64 end)
{
	u32 quality = QUALITY_OK;
	u64 length = end - start;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, ARRAY_BYTES + 4);
	if (!at)
		return 0;
	if (end < start)
		length = 0;
	if (length > ARRAY_BYTES) {
		length = ARRAY_BYTES;
		quality = QUALITY_TRUNCATED;
	}
	if (length && bpf_probe_read_user(at + FIELD_HEAD, length, (const void *)start)) {
		length = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, index, quality, length);
	return 0;
}

static __always_inline void put_user_array(struct run *run, u8 index, u64 start, u64 end)
{
	put_user_array_at(run->slot, run->max, index, start, end);
}

/* At most so much of an array of strings. */
#define STRINGS_BYTES 8192
#define MAX_STRINGS 256

/* The same of as much as the task lane has room for. */
static __noinline int put_words_at(struct slot *slot, u32 max, u32 index, u64 start, u64 end)
{
	u32 quality = QUALITY_OK, bytes;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, STRINGS_BYTES + 4);
	if (!at)
		return 0;
	bytes = end - start;
	if (end < start)
		bytes = 0;
	if (bytes > STRINGS_BYTES) {
		bytes = STRINGS_BYTES;
		quality = QUALITY_TRUNCATED;
	}
	KEEP(bytes);
	if (bytes > STRINGS_BYTES)
		return 0;
	if (bytes && bpf_probe_read_user(at + FIELD_HEAD, bytes, (const void *)start)) {
		bytes = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, index, quality, bytes);
	return 0;
}

static __always_inline void put_words(struct run *run, u8 index, u64 start, u64 end)
{
	put_words_at(run->slot, run->max, index, start, end);
}

/* Where reading one has come to. */
struct strings {
	struct slot *slot;
	u64 from;    /* the next pointer */
	u32 pointer; /* bytes of one */
	u32 length;
	u32 quality;
	u32 ended;
};

static long read_string(u32 n, struct strings *strings)
{
	struct slot *slot = strings->slot;
	u64 string = 0;
	long got;
	u32 at;

	if (!slot)
		return 1;
	if (bpf_probe_read_user(&string, strings->pointer == 4 ? 4 : 8, (const void *)strings->from)) {
		strings->quality = QUALITY_FAULTED;
		strings->ended = 1;
		return 1;
	}
	if (!string) {
		strings->ended = 1;
		return 1;
	}
	strings->from += strings->pointer;
	/* Where there is no room for the longest string any more, the array is cut. */
	at = *(volatile u32 *)&slot->used + FIELD_HEAD + strings->length;
	KEEP(at);
	if (at > BYTES_task - STRING_BYTES - 8 || strings->length > STRINGS_BYTES)
		return 1;
	got = bpf_probe_read_user_str(slot->data + at, STRING_BYTES, (const void *)string);
	if (got <= 0) {
		strings->quality = QUALITY_FAULTED;
		strings->ended = 1;
		return 1;
	}
	strings->length += got;
	if (got == STRING_BYTES)
		strings->quality = QUALITY_TRUNCATED;
	return 0;
}

/* The strings to which pointers in the caller's memory lead, up to a NULL: argv and envp of a call. Of the task lane. */
static __noinline int put_user_strings_at(struct slot *slot, u32 max, u32 index, u64 from, u32 pointer)
{
	struct strings strings = {.slot = slot, .from = from, .pointer = pointer};
	u32 length;

	if (!slot)
		return 0;
	if (!from) {
		close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
		return 0;
	}
	strings.length = forget(slot, 0);
	strings.quality = forget(slot, QUALITY_OK);
	strings.ended = forget(slot, 0);
#ifdef LEGACY
	for (u32 i = 0; i < 16; i++)
		if (read_string(i, &strings))
			break;
#else
	bpf_loop(MAX_STRINGS, read_string, &strings, 0);
#endif
	length = strings.length;
	KEEP(length);
	if (length > STRINGS_BYTES + STRING_BYTES)
		length = STRINGS_BYTES + STRING_BYTES;
	if (!strings.ended)
		strings.quality = QUALITY_TRUNCATED;
	close_field(slot, max, index, strings.quality, length);
	return 0;
}

static __always_inline void put_cred(struct run *run, u8 index, const struct cred *cred)
{
	u8 *at = field_room(run->slot, run->max, sizeof(struct cred_record));

	if (!at)
		return;
	put_head(at, index, QUALITY_OK, sizeof(struct cred_record));
	put_cred_record((struct cred_record *)(at + FIELD_HEAD), cred);
	run->slot->used += FIELD_HEAD + sizeof(struct cred_record);
}
