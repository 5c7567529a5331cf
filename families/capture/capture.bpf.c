/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets for files: the programs of `tarsius watch --artifacts network`. Their own programs, in the bulk lane, with owners of sockets of
 * their own: however much is captured, no event waits for it, and none is lost for it.
 */

#include "packet.h"

/* The longest field that a record can have. No packet is longer but on links that are set up for more (BIG TCP). */
#define CAPTURED_BYTES 65535

_Static_assert(BYTES_bulk >= CAPTURED_BYTES + 256, "a packet fits into a slot with what is said of it");

/* Sockets of connections on which a head of HTTP went by. It goes with the socket: no connection is forgotten for another. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} bulk_http SEC(".maps");

/* From the first head of a connection on. */
static __always_inline bool speaks_http(struct __sk_buff *skb, const struct heads *heads)
{
	struct bpf_sock *sk = skb->sk;
	bool head = false;
	u64 *known;
	u32 word;

	if (skb->len > heads->payload && !bpf_skb_load_bytes(skb, heads->payload, &word, sizeof(word)))
		head = is_http(word);
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk)
		return head;
	known = bpf_sk_storage_get(&bulk_http, sk, NULL, head ? SK_STORAGE_CREATE : 0);
	if (known && head)
		*(volatile u64 *)known = 1;
	/* Of a socket that is new there may be a value before it is set. */
	return head || (known && *(volatile u64 *)known);
}

static __always_inline bool is_captured(struct __sk_buff *skb, const struct packet_record *packet, const struct heads *heads)
{
	u32 kinds = CAPTURED_ALL | (packet->family == AF_INET ? CAPTURED_IPV4 : CAPTURED_IPV6);

	if (heads->over && packet->protocol == IPPROTO_TCP) {
		kinds |= CAPTURED_TCP;
		if (cfg.captured & CAPTURED_HTTP && speaks_http(skb, heads))
			return true;
	} else if (heads->over && packet->protocol == IPPROTO_UDP) {
		kinds |= CAPTURED_UDP;
		if (packet->src_port == DNS_PORT || packet->dst_port == DNS_PORT)
			kinds |= CAPTURED_DNS;
	} else if (heads->over && packet->protocol == IPPROTO_ICMP) {
		kinds |= CAPTURED_ICMP;
	} else if (heads->over && packet->protocol == IPPROTO_ICMPV6) {
		kinds |= CAPTURED_ICMPV6;
	}
	return cfg.captured & kinds;
}

/* The network namespace of the packet's socket, whoever has that. */
static __always_inline void put_net_ns(struct run *run, struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	const struct sock *socket;

	if (!sk)
		return;
	/* The verifier knows of this pointer only what a bpf_sock has; it is the socket. */
	socket = (const struct sock *)forget(run->slot, (u64)sk);
	put_u32(run, FIELD(net_packet_capture, net_ns), BPF_CORE_READ(socket, __sk_common.skc_net.net, ns.inum));
}

static __always_inline void capture_packet(struct run *run, struct __sk_buff *skb, u8 direction)
{
	struct packet_record packet;
	struct heads heads;
	u32 length;
	u64 cookie;

	if (!read_packet(skb, direction, &packet, &heads))
		return;
	cookie = bpf_get_socket_cookie(skb);
	if (!is_captured(skb, &packet, &heads))
		return;
	/* Both are less than 2^17. */
	length = heads.payload + cfg.capture;
	if (length > skb->len)
		length = skb->len;
	if (!claim_of_packet(run, OWNERS(bulk), EVENT(net_packet_capture), skb, cookie))
		return;
	put_fixed(run, FIELD(net_packet_capture, metadata), &packet, sizeof(packet));
	put_u64(run, FIELD(net_packet_capture, socket), cookie);
	put_net_ns(run, skb);
	put_packet(run, skb, FIELD(net_packet_capture, data), length, CAPTURED_BYTES);
	submit(run);
}

/* 1 lets the packet pass: always. */
SEC("cgroup_skb/egress")
int net_packet_capture__egress(struct __sk_buff *skb)
{
	RUN(net_packet_capture__egress, capture_packet(&run, skb, PACKET_EGRESS));
	return 1;
}

SEC("cgroup_skb/ingress")
int net_packet_capture__ingress(struct __sk_buff *skb)
{
	RUN(net_packet_capture__ingress, capture_packet(&run, skb, PACKET_INGRESS));
	return 1;
}

/* ---- owners: as those of the net lane ---- */

SEC("cgroup/sock_create")
int capture_owner__create(struct bpf_sock *sk)
{
	RUN(capture_owner__create, keep_owner(&run, OWNERS(bulk), bpf_get_socket_cookie(sk)));
	return 1;
}

SEC("sockops")
int capture_owner__callback(struct bpf_sock_ops *ops)
{
	RUN(capture_owner__callback, note_callback(OWNERS(bulk), ops));
	return 1;
}

SYSCALL_EXIT(capture_owner__accept)
{
	keep_accepted(run, OWNERS(bulk), call);
}
