/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose socket? Packets and changes of state come in interrupts, where the current task is a stranger. So the identity of the task
 * that made a socket, or accepted it, is kept with the socket's cookie, a number that the kernel gives only once. What is not in the
 * map (made before Tarsius started, or forgotten for others) has an unknown owner, never a wrong one. A connection that nobody has
 * accepted yet has a listener: the socket that it came to, whose cookie the kernel hands down to it.
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

/* clang-format off */
#define DEFINE_OWNERS(lane)                                                                        \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, 8);                                                               \
		__uint(value_size, sizeof(struct owner));                                          \
	} lane##_owners SEC(".maps");                                                              \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);                                             \
		__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);                                \
		__type(key, int);                                                                  \
		__type(value, u64);                                                                \
	} lane##_listeners SEC(".maps")
/* clang-format on */

#define SK_STORAGE_CREATE 1

/* Each lane that tells of sockets has its own: nothing crosses lanes. User space gives room for as many as are to be known. */
DEFINE_OWNERS(net);
DEFINE_OWNERS(bulk);

/* The maps of a run's lane. */
struct owners {
	void *of_cookie, *listeners;
};
#define OWNERS(lane) (&(struct owners){&lane##_owners, &lane##_listeners})

/* Keeps the current task as the owner of the socket of that cookie. The value is put together in a slot. */
static __always_inline void keep_owner(struct run *run, const struct owners *owners, u64 cookie)
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
	bpf_map_update_elem(owners->of_cookie, &cookie, owner, BPF_ANY);
}

/*
 * What a callback of a socket is good for here. A connection that came in gets its cookie before it can be accepted: the handler of
 * accept can read a cookie, but not have one made. A socket that begins to listen gets a value that the kernel copies to each
 * connection that comes to it: its own cookie.
 */
static __always_inline void note_callback(const struct owners *owners, struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk;
	u64 cookie, *kept;

	if (ops->op != SOCK_OPS_PASSIVE_ESTABLISHED && ops->op != SOCK_OPS_TCP_LISTEN)
		return;
	cookie = bpf_get_socket_cookie(ops);
	sk = ops->sk;
	if (ops->op != SOCK_OPS_TCP_LISTEN || !sk)
		return;
	kept = bpf_sk_storage_get(owners->listeners, sk, NULL, SK_STORAGE_CREATE);
	if (kept)
		*(volatile u64 *)kept = cookie;
}

/* Fills the header with the identity of a socket's owner; false if it is not known. */
static __always_inline bool find_owner(struct record_header *header, const struct owners *owners, u64 cookie)
{
	u64 *identity = (u64 *)&header->start_time;
	struct owner *owner;
	u64 sum = cookie, flags;

	owner = cookie ? bpf_map_lookup_elem(owners->of_cookie, &cookie) : NULL;
	if (!owner)
		return false;
	/* Each word is read once: the sum is over what was copied. */
#pragma clang loop unroll(full)
	for (u32 i = 0; i < IDENTITY_WORDS; i++) {
		u64 word = *(volatile u64 *)&owner->identity[i];

		identity[i] = word;
		sum = sum_word(sum, word);
	}
	flags = *(volatile u64 *)&owner->flags;
	if (sum_word(sum, flags) != *(volatile u64 *)&owner->sum)
		return false;
	header->flags |= flags;
	header->origin = ORIGIN_OWNER;
	return true;
}

/*
 * Claims a slot for an event of a socket, and fills the header with its owner's identity, or with nobody's. The scope is not asked here,
 * as the current task is not the one in question: user space does it by the identity. Tarsius' own sockets are left out.
 */
static __always_inline bool claim_owned(struct run *run, const struct owners *owners, u16 event, u64 cookie)
{
	struct record_header *header;

	if (!slot_claim(run))
		return false;
	put_header(run, event);
	header = &run->slot->header;
	if (!find_owner(header, owners, cookie))
		put_nobody(header, ORIGIN_UNKNOWN);
	return !cfg.self || header->pid != cfg.self;
}

/* The same for a packet: where its socket has no owner yet, with that of the socket that its connection came to. */
static __always_inline bool claim_of_packet(struct run *run, const struct owners *owners, u16 event, struct __sk_buff *skb, u64 cookie)
{
	struct record_header *header;
	struct bpf_sock *sk;
	u64 *listener;

	if (!claim_owned(run, owners, event, cookie))
		return false;
	header = &run->slot->header;
	if (header->origin != ORIGIN_UNKNOWN)
		return true;
	sk = skb->sk;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	listener = sk ? bpf_sk_storage_get(owners->listeners, sk, NULL, 0) : NULL;
	if (!listener)
		return true;
	if (find_owner(header, owners, *(volatile u64 *)listener))
		header->origin = ORIGIN_LISTENER;
	else
		put_nobody(header, ORIGIN_UNKNOWN);
	return !cfg.self || header->pid != cfg.self;
}

/* The cookie that a socket has; 0 if it was not given one yet. */
static __always_inline u64 cookie_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* Keeps the current task as the owner of the connection that it has accepted. */
static __always_inline void keep_accepted(struct run *run, const struct owners *owners, const struct call *call)
{
	struct sock *sk;
	u16 family;

	if (call->ret < 0)
		return;
	sk = sock_of_fd(call->task, call->ret);
	if (!sk)
		return;
	family = family_of(sk);
	if ((family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		keep_owner(run, owners, cookie_of(sk));
}
