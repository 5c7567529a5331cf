/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What of an event may be wanted? A bit stands for each class of what policies want. Each column (the user, a path, a port ...) tells by
 * its value which classes may still be met: a value is looked up by its longest prefix that is known, a text by its bytes or by those of
 * its reverse, a number and an address by their bits. Columns of who acts are asked before a slot is claimed, those of fields when the
 * record is complete; where no class is left, the record is not submitted. What is not known passes: user space judges again.
 *
 * User space makes all of it (crates/sieve, which has the model), and exchanges it as a whole: programs reach the sieves of all events by
 * the one map in cfg_sieves. Columns have numbers that are not used again, so that old and new prefixes do not meet; and between old and new
 * sieves there are none for a while, so that a run finds those of one time only.
 */
#pragma once

#define CLASSES 64
#define COLUMNS 12
#define HEADS 6
#define SIEVED_FIELDS 32
/* Each column, each field, and the end. */
#define SIFTING_STEPS (COLUMNS + SIEVED_FIELDS + 1)
/* A record's fields so far from its beginning pass: a bound that holds in every lane. */
#define SIEVED_BYTES 8000
/* Of struct sockaddr_un. */
#define UNIX_PATH_BYTES 108

enum column_kind {
	KIND_U32 = 0,
	KIND_I32 = 1,
	KIND_U64 = 2,
	KIND_I64 = 3,
	KIND_COMM = 4,
	KIND_START = 5,	  /* a text, from its beginning */
	KIND_END = 6,	  /* a text, from its end */
	KIND_ADDRESS = 7, /* of a socket address: IPv4 as IPv6 has it */
	KIND_PORT = 8,
	KIND_COMM_END = 9, /* a command name, from its end */
	KIND_UNIX_START = 10, /* the path of a UNIX socket's address, from its beginning */
	KIND_UNIX_END = 11,
};

/*
 * In the place of a place in the header, of what no record has: the watched trees that the process is in, what it runs, and by which scopes it
 * is followed (scope.h).
 */
#define AT_TREES 0xffff
#define AT_EXECUTABLE 0xfffe
#define AT_FOLLOWED 0xfffd
static __always_inline u64 trees_of(u32 pid);
static __always_inline u64 followed_by(u32 pid);
static __always_inline u64 executable_of(struct task_struct *task);

struct column {
	u64 others; /* classes that may be met by a value that begins with nothing that is known */
	u64 asks;   /* classes that ask of it */
	u64 mask;   /* of a number: the bits that are asked for */
	u32 number; /* of the column, before each of its prefixes */
	u16 at;	    /* in the header, or in the field's payload */
	u8 kind;
	u8 field;
};

struct sieve {
	u64 classes;
	u64 kill;    /* of these, whose meeting means that the process is killed */
	u64 deny;    /* or that the act is refused */
	u64 follows; /* or that the process is followed from then on: by the scopes whose bits mark[] has */
	u32 heads;   /* so many columns are of the header, and come first */
	u32 early;   /* of these, so many of the task, which are asked before a slot is claimed, and come before the others */
	u32 columns;
	u32 unused;
	u8 first[SIEVED_FIELDS]; /* 1 more than the place of a field's first column, or 0 */
	struct column column[COLUMNS];
	u64 mark[CLASSES];
};

/* By the number of the event: as many as there are. */
struct sieves {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct sieve));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, struct sieves);
} cfg_sieves SEC(".maps");

struct short_key {
	u32 bits; /* of what follows */
	u32 column;
	u8 bytes[SHORT_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__uint(max_entries, 1 << 18);
	__uint(key_size, sizeof(struct short_key));
	__uint(value_size, 8);
} cfg_short_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__uint(max_entries, 1 << 18);
	__uint(key_size, sizeof(struct long_key));
	__uint(value_size, 8);
} cfg_long_prefixes SEC(".maps");

/* The event's sieve, if it has one. */
static __always_inline struct sieve *sieve_of(u16 event)
{
	u32 zero = 0, number = event;
	void *sieves = bpf_map_lookup_elem(&cfg_sieves, &zero);

	return sieves ? bpf_map_lookup_elem(sieves, &number) : NULL;
}

/* Numbers with a sign stand in the order of their bits. */
static __always_inline u64 ordered(s64 value)
{
	return (u64)value ^ 1ULL << 63;
}

#define HEAD_AT(member) __builtin_offsetof(struct record_header, member)

/*
 * A command name backwards, padded with NULs: without a loop, of whose rounds the verifier follows each. `bytes` stand where a number of
 * 8 bytes can.
 */
static __always_inline void put_comm_reversed(u8 *bytes, const void *comm)
{
	u64 *words = (u64 *)bytes, begin, end;
	u32 shift;
	long length;

	words[0] = words[1] = 0;
	length = bpf_probe_read_kernel_str(bytes, COMM_BYTES, comm);
	if (length < 1)
		length = 1;
	begin = words[0];
	end = words[1];
	/* As one number of 16 bytes, whose last is the name's first: what is before the name's last is shifted out. */
	shift = 8 * (COMM_BYTES + 1 - length);
	if (shift >= 64) {
		words[0] = shift < 128 ? bpf_cpu_to_be64(begin << (shift - 64)) : 0;
		words[1] = 0;
	} else {
		words[0] = bpf_cpu_to_be64(end << shift | begin >> (64 - shift));
		words[1] = bpf_cpu_to_be64(begin << shift);
	}
}

/*
 * The classes that may be met by what the current task is and, with `returns`, by what its call has returned: what can be had before a
 * slot is claimed, and without much of a stack. ALL_CLASSES, if not all of it can be had: then the record is asked.
 */
static __noinline u64 classes_of_task(struct sieve *sieve, struct task_struct *task, s64 ret, u32 returns)
{
	/* One for all: the program's own frame may leave little room. */
	struct short_key key = {};
	u64 classes = ALL_CLASSES;

	if (!sieve)
		return classes;
	classes = sieve->classes;
	for (u32 i = 0; i < HEADS; i++) {
		struct column *column = &sieve->column[i];
		u32 bytes = sizeof(u64);
		u64 value = 0, *found;

		if (i >= sieve->early)
			break;
		switch (column->at) {
		case HEAD_AT(pid):
			value = (u32)FROM_TASK(task, tgid);
			break;
		case HEAD_AT(tid):
			value = (u32)FROM_TASK(task, pid);
			break;
		case HEAD_AT(uid):
			value = FROM_TASK(task, cred, uid.val);
			break;
		case HEAD_AT(gid):
			value = FROM_TASK(task, cred, gid.val);
			break;
		case HEAD_AT(euid):
			value = FROM_TASK(task, cred, euid.val);
			break;
		case HEAD_AT(mnt_ns):
			value = FROM_TASK(task, nsproxy, mnt_ns, ns.inum);
			break;
		case HEAD_AT(pid_ns):
			if (FROM_TASK(task, thread_pid, level))
				return ALL_CLASSES;
			value = FROM_TASK(task, thread_pid, numbers[0].ns, ns.inum);
			break;
		case HEAD_AT(cgroup):
			if (cfg.subsys >= 0)
				return ALL_CLASSES;
			value = FROM_TASK(task, cgroups, dfl_cgrp, kn, id);
			break;
		case HEAD_AT(comm):
			bytes = COMM_BYTES;
			if (column->kind == KIND_COMM_END)
				put_comm_reversed(key.bytes, &task->comm);
			else
				bpf_probe_read_kernel(key.bytes, COMM_BYTES, &task->comm);
			break;
		case AT_TREES:
			value = trees_of(FROM_TASK(task, tgid)) & column->mask;
			break;
		case AT_EXECUTABLE:
			value = executable_of(task);
			if (!value)
				return ALL_CLASSES;
			break;
		case AT_FOLLOWED:
			value = followed_by(FROM_TASK(task, tgid)) & column->mask;
			break;
		case HEAD_AT(ret):
			if (!returns)
				return ALL_CLASSES;
			value = ordered(ret);
			break;
		default:
			return ALL_CLASSES;
		}
		if (bytes == sizeof(value))
			*(u64 *)key.bytes = bpf_cpu_to_be64(value);
		key.column = column->number;
		key.bits = 8 * (sizeof(key.column) + bytes);
		found = bpf_map_lookup_elem(&cfg_short_prefixes, &key);
		classes &= found ? *found : column->others;
	}
	return classes;
}

/* The length of the path in an address at `from` bytes of the slot: 0, if it is of another family. */
static __noinline u32 find_path(struct slot *slot, u32 from, u32 length)
{
	u16 family = 0;
	long named;

	if (!slot)
		return 0;
	KEEP(from);
	if (from > sizeof(*slot) + SIEVED_BYTES - 64)
		return 0;
	bpf_probe_read_kernel(&family, sizeof(family), (u8 *)slot + from);
	if (family != AF_UNIX || length <= sizeof(family))
		return 0;
	length -= sizeof(family);
	/* Up to its end, if that stands there. */
	named = bpf_probe_read_kernel_str(slot->sieving.key.bytes, UNIX_PATH_BYTES + 1, (u8 *)slot + from + sizeof(family)) - 1;
	return named < 0 ? 0 : named < length ? named : length;
}

/*
 * The classes that may be met by the value at `from` bytes of the slot, of which so many are there. Its key is put together in the slot, all
 * ways come to the same lookup: the verifier follows each of them for itself.
 */
static __always_inline u64 classes_of_value(const struct column *column, struct slot *slot, u32 from, u32 length)
{
	struct long_key *key = &slot->sieving.key;
	u8 kind = column->kind;
	u32 bytes = sizeof(u64);
	u64 number = 0, *classes;
	const u8 *value;

	if (kind == KIND_UNIX_START || kind == KIND_UNIX_END) {
		length = find_path(slot, from, length);
		from += sizeof(u16);
		kind -= KIND_UNIX_START - KIND_START;
	}
	/* However it came here: before Linux 5.17 each way would be walked to the end, in each round. */
	from = forget(slot, from);
	length = forget(slot, length);
	kind = forget(slot, kind);
	if (from > sizeof(*slot) + SIEVED_BYTES - 64)
		return ALL_CLASSES;
	value = (u8 *)slot + from;
	if (kind == KIND_START || kind == KIND_END) {
		u32 most = kind == KIND_START ? LONG_BYTES : SUFFIX_BYTES;

		bytes = length < most ? length : most;
		KEEP(bytes);
		if (bytes > LONG_BYTES)
			return ALL_CLASSES;
		if (kind == KIND_START) {
			bpf_probe_read_kernel(key->bytes, bytes, value);
		} else {
			u64 *to = (u64 *)key->bytes, *end = slot->sieving.end;

			/* Of a short text that is also what stands before it, which comes to stand behind its end. */
			bpf_probe_read_kernel(end, SUFFIX_BYTES, value + length - SUFFIX_BYTES);
#pragma clang loop unroll(full)
			for (u32 i = 0; i < SUFFIX_BYTES / sizeof(u64); i++)
				to[i] = __builtin_bswap64(end[SUFFIX_BYTES / sizeof(u64) - 1 - i]);
		}
		/* That it has ended: longer ones begin otherwise. */
		if (bytes < most) {
			key->bytes[bytes] = 0;
			bytes++;
		}
		key->column = column->number;
		key->bits = 8 * (sizeof(key->column) + bytes);
		classes = bpf_map_lookup_elem(&cfg_long_prefixes, key);
		return classes ? *classes : column->others;
	}
	switch (kind) {
	case KIND_U32:
		number = *(u32 *)value;
		break;
	case KIND_I32:
		number = ordered(*(s32 *)value);
		break;
	case KIND_U64:
		number = *(u64 *)value;
		break;
	case KIND_I64:
		number = ordered(*(s64 *)value);
		break;
	case KIND_PORT:
		number = bpf_ntohs(*(u16 *)(value + 2));
		break;
	case KIND_COMM:
		bytes = COMM_BYTES;
		__builtin_memcpy(key->bytes, value, COMM_BYTES);
		break;
	case KIND_COMM_END:
		bytes = COMM_BYTES;
		put_comm_reversed(key->bytes, value);
		break;
	default:
		/* Of struct sockaddr_in and sockaddr_in6. */
		bytes = SHORT_BYTES;
		if (*(u16 *)value == AF_INET) {
			__builtin_memset(key->bytes, 0, 10);
			*(u16 *)(key->bytes + 10) = 0xffff;
			*(u32 *)(key->bytes + 12) = *(u32 *)(value + 4);
		} else {
			__builtin_memcpy(key->bytes, value + 8, SHORT_BYTES);
		}
	}
	if (bytes == sizeof(number))
		*(u64 *)key->bytes = bpf_cpu_to_be64(number & column->mask);
	key->column = column->number;
	key->bits = 8 * (sizeof(key->column) + bytes);
	classes = bpf_map_lookup_elem(&cfg_short_prefixes, key);
	return classes ? *classes : column->others;
}

/* A payload of so many bytes has a value for the column. */
static __always_inline bool has_value(const struct column *column, struct slot *slot, u32 payload, u32 length)
{
	u16 family = 0;

	switch (column->kind) {
	case KIND_START:
	case KIND_END:
		return true;
	case KIND_ADDRESS:
	case KIND_PORT:
		bpf_probe_read_kernel(&family, sizeof(family), (u8 *)slot + payload);
		return (family == AF_INET && length >= 8) || (family == AF_INET6 && length >= 24);
	case KIND_UNIX_START:
	case KIND_UNIX_END:
		/* Names that are no path begin with a NUL, and may have others within. */
		bpf_probe_read_kernel(&family, sizeof(family), (u8 *)slot + payload);
		if (family == AF_UNIX && length > sizeof(family))
			return *((u8 *)slot + payload + sizeof(family));
		return length >= sizeof(family);
	case KIND_U64:
	case KIND_I64:
		return length >= column->at + sizeof(u64);
	default:
		return length >= column->at + sizeof(u32);
	}
}

/* What the steps through a record go by. */
struct sifting {
	struct slot *slot;
	struct sieve *sieve;
};

static __always_inline struct column *column_at(struct sieve *sieve, u32 place)
{
	KEEP(place);
	return place < COLUMNS && place < sieve->columns ? &sieve->column[place] : NULL;
}

/* Asks of the header by one column. */
static __always_inline void sift_header(struct slot *slot, struct column *column, u32 place)
{
	u32 from = __builtin_offsetof(struct slot, header) + column->at;
	bool known = slot->header.origin != ORIGIN_UNKNOWN;

	if (column->kind == KIND_I64)
		known = slot->header.flags & RECORD_RETURN;
	if (!known || column->at >= AT_FOLLOWED)
		return;
	slot->sieving.known |= 1U << (place & 31);
	slot->sieving.classes &= classes_of_value(column, slot, from, 0);
}

/* One step: asks by one column, or goes on to the next field. */
static long sift(u32 n, struct sifting *sifting)
{
	struct slot *slot = sifting->slot;
	struct sieve *sieve = sifting->sieve;
	u32 at, head, length, index, quality, place;
	struct column *column;

	if (!slot || !sieve)
		return 1;
	n += slot->sieving.asked;
	if (n < sieve->heads) {
		column = column_at(sieve, n);
		if (column)
			sift_header(slot, column, n);
		return !slot->sieving.classes;
	}
	at = *(volatile u32 *)&slot->sieving.at;
	KEEP(at);
	if (at > SIEVED_BYTES - 256 || at >= slot->used)
		return 1;
	head = *(u32 *)(slot->data + at);
	index = head & 0xff;
	quality = head >> 8 & 0xff;
	length = head >> 16;
	place = slot->sieving.place;
	KEEP(index);
	if (!place && index < SIEVED_FIELDS && (quality == QUALITY_OK || quality == QUALITY_UNRESOLVED))
		place = sieve->first[index];
	column = place ? column_at(sieve, place - 1) : NULL;
	if (!column || column->field != index) {
		slot->sieving.at = at + FIELD_HEAD + ((length + 3) & ~3u);
		slot->sieving.place = 0;
		return 0;
	}
	slot->sieving.place = place + 1;
	at += __builtin_offsetof(struct slot, data) + FIELD_HEAD;
	if (!has_value(column, slot, at, length))
		return 0;
	slot->sieving.known |= 1U << ((place - 1) & 31);
	slot->sieving.classes &= classes_of_value(column, slot, at + column->at, length);
	return !slot->sieving.classes;
}

/*
 * Whether the record, as far as it is there, may be wanted; `met` by what the task is, if that was asked before. `begun`: who acts is not in
 * the header yet, and not asked.
 */
static __noinline u64 may_pass(struct slot *slot, struct sieve *sieve, u64 met, u32 begun)
{
	struct sifting sifting = {.slot = slot, .sieve = sieve};

	if (!slot || !sieve)
		return true;
	slot->sieving.classes = met == ALL_CLASSES ? sieve->classes : met;
	slot->sieving.asked = begun ? sieve->heads : met == ALL_CLASSES ? 0 : sieve->early;
	slot->sieving.at = 0;
	slot->sieving.place = 0;
	/* What the task is was known. */
	slot->sieving.known = (1U << (slot->sieving.asked & 31)) - 1;
#ifdef LEGACY
	for (u32 i = 0; i < SIFTING_STEPS; i++) {
		if (sift(i, &sifting))
			break;
		/* An instruction: verifiers of that time refuse a loop that begins right behind a call. */
		asm volatile("%0 = %0" : "+r"(i));
	}
#else
	bpf_loop(SIFTING_STEPS, sift, &sifting, 0);
#endif
	return slot->sieving.classes;
}

/* Of these classes, those that are met for sure: of each column that they ask of there was a value. After may_pass(). */
static __always_inline u64 surely_met(struct slot *slot, struct sieve *sieve, u64 classes)
{
	u32 known = slot->sieving.known;

	classes &= slot->sieving.classes;
	for (u32 i = 0; i < COLUMNS; i++)
		if (!(known >> i & 1))
			classes &= ~sieve->column[i].asks;
	return classes;
}
