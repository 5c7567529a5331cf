/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose socket? Packets and changes of state come in interrupts, where the current task is a stranger. So the identity of the task
 * that made a socket, or accepted it, is kept with the socket's cookie, a number that the kernel gives only once. What is not in the
 * map (made before Tarsius started, or forgotten for others) has an unknown owner, never a wrong one.
 */
#pragma once

/* The identity in a header: what stands from `start_time` to `exec_id`, word by word. */
#define IDENTITY_OFFSET __builtin_offsetof(struct record_header, start_time)
#define IDENTITY_WORDS ((__builtin_offsetof(struct record_header, ret) - IDENTITY_OFFSET) / 8)
_Static_assert(IDENTITY_OFFSET % 8 == 0 && IDENTITY_WORDS == 16, "the identity is whole words");

/*
 * A value may change under a reader: the kernel gives the memory of an element that it evicts to another socket at once, and a reader
 * of the first may be half-way through. So the value carries a sum over itself and its cookie, and a copy with another sum is no
 * identity.
 */
struct owner {
	u64 identity[IDENTITY_WORDS];
	u64 flags; /* RECORD_KTHREAD */
	u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__uint(key_size, 8);
	__uint(value_size, sizeof(struct owner));
} net_owners SEC(".maps");

/* Keeps the current task as the owner of the socket of that cookie. The value is put together in a slot. */
static __always_inline void keep_owner(struct run *run, u64 cookie)
{
	struct record_header *header;
	struct owner *owner;
	u64 *identity, sum = cookie;

	if (!cookie || !slot_claim(run))
		return;
	header = &run->slot->header;
	header->flags = 0;
	header->syscall = 0;
	put_task(header, current_task());
	identity = (u64 *)&header->start_time;
	owner = (struct owner *)run->slot->data;
#pragma clang loop unroll(full)
	for (u32 i = 0; i < IDENTITY_WORDS; i++) {
		owner->identity[i] = identity[i];
		sum = sum_word(sum, identity[i]);
	}
	owner->flags = header->flags;
	owner->sum = sum_word(sum, header->flags);
	/* Where it fails the owner stays unknown. */
	bpf_map_update_elem(&net_owners, &cookie, owner, BPF_ANY);
}

/* Fills the header with the identity of a socket's owner, or with nobody's. */
static __always_inline void put_owner(struct record_header *header, u64 cookie)
{
	u64 *identity = (u64 *)&header->start_time;
	struct owner *owner;
	u64 sum = cookie, flags;

	owner = cookie ? bpf_map_lookup_elem(&net_owners, &cookie) : NULL;
	if (!owner) {
		put_nobody(header, ORIGIN_UNKNOWN);
		return;
	}
	/* Each word is read once: the sum is over what was copied. */
#pragma clang loop unroll(full)
	for (u32 i = 0; i < IDENTITY_WORDS; i++) {
		u64 word = *(volatile u64 *)&owner->identity[i];

		identity[i] = word;
		sum = sum_word(sum, word);
	}
	flags = *(volatile u64 *)&owner->flags;
	if (sum_word(sum, flags) != *(volatile u64 *)&owner->sum) {
		put_nobody(header, ORIGIN_UNKNOWN);
		return;
	}
	header->flags |= flags;
	header->origin = ORIGIN_OWNER;
}

/*
 * Claims a slot for an event of a socket, and fills the header with its owner's identity. The scope is not asked here, as the current
 * task is not the one in question: user space does it by the identity. Tarsius' own sockets are left out.
 */
static __always_inline bool claim_owned(struct run *run, u16 event, u64 cookie)
{
	struct record_header *header;

	if (!slot_claim(run))
		return false;
	put_header(run, event);
	header = &run->slot->header;
	put_owner(header, cookie);
	return !cfg.self || header->pid != cfg.self;
}

/* The cookie that a socket has; 0 if it was not given one yet. */
static __always_inline u64 cookie_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}
