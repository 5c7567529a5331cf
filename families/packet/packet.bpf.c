/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets, as they pass a cgroup's border: whole, from the IP header on, before they are cut into fragments and after they are put
 * together again. One program for each way reads a packet once. What it tells is net_packet_raw, of which user space makes the other
 * events (crates/packet): here is decided only whether any of them is wanted, and how much of the packet it takes.
 */

#include "packet.h"

#define PACKET_BYTES 7168
#define HEADS_BYTES 256

#define WANTED_DNS (WANTED(net_packet_dns) || WANTED(net_packet_dns_request) || WANTED(net_packet_dns_response))

#define WANTED_HTTP (WANTED(net_packet_http) || WANTED(net_packet_http_request) || WANTED(net_packet_http_response))

/* As much of a connection is copied from where a head of HTTP begins: crates/packet takes no longer one. */
#define HTTP_BYTES 16384

/*
 * How much is still to be copied, by the socket's cookie and the direction. The kernel gives an entry's memory to another key at once, also
 * while a run looks at it: hence one word, which can not be torn, with a part of the key in it; and no run writes where it has read.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__uint(key_size, 8);
	__uint(value_size, 8);
} net_heads SEC(".maps");

static __always_inline void keep_left(u64 key, u32 left, u64 how)
{
	u64 word = key << 32 | left;

	bpf_map_update_elem(&net_heads, &key, &word, how);
}

/* The segment begins a head, or may go on with one. */
static __always_inline bool wants_http(struct __sk_buff *skb, const struct packet_record *packet, const struct heads *heads)
{
	u64 key = bpf_get_socket_cookie(skb) << 1 | (packet->direction == PACKET_EGRESS);
	u32 word, left, length = skb->len - heads->payload;
	u64 *kept, keeps;

	if (skb->len <= heads->payload)
		return false;
	if (!bpf_skb_load_bytes(skb, heads->payload, &word, sizeof(word)) && is_http(word)) {
		keep_left(key, length < HTTP_BYTES ? HTTP_BYTES - length : 0, BPF_ANY);
		return true;
	}
	kept = bpf_map_lookup_elem(&net_heads, &key);
	if (!kept)
		return false;
	keeps = *(volatile u64 *)kept;
	left = keeps;
	if (keeps >> 32 != (u32)key || !left)
		return false;
	keep_left(key, length < left ? left - length : 0, BPF_EXIST);
	return true;
}

/* An event wants the packet's headers. */
static __always_inline bool wants_heads(const struct packet_record *packet, const struct heads *heads)
{
	if (WANTED(net_packet_ipv4) && packet->family == AF_INET)
		return true;
	if (WANTED(net_packet_ipv6) && packet->family == AF_INET6)
		return true;
	if (!heads->over)
		return false;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return WANTED(net_packet_tcp);
	case IPPROTO_UDP:
		return WANTED(net_packet_udp);
	case IPPROTO_ICMP:
		return WANTED(net_packet_icmp);
	case IPPROTO_ICMPV6:
		return WANTED(net_packet_icmpv6);
	}
	return false;
}

/* An event wants what they carry. */
static __always_inline bool wants_payload(struct __sk_buff *skb, const struct packet_record *packet, const struct heads *heads)
{
	if (WANTED(net_packet_raw))
		return true;
	if (!heads->over)
		return false;
	if (WANTED_HTTP && packet->protocol == IPPROTO_TCP)
		return wants_http(skb, packet, heads);
	return WANTED_DNS && packet->protocol == IPPROTO_UDP &&
	       (packet->src_port == DNS_PORT || packet->dst_port == DNS_PORT);
}

static __always_inline void tell_packet(struct run *run, struct __sk_buff *skb, u8 direction)
{
	struct packet_record packet;
	struct heads heads;
	u32 length = skb->len;
	u64 cookie;

	if (!read_packet(skb, direction, &packet, &heads))
		return;
	if (!wants_payload(skb, &packet, &heads)) {
		if (!wants_heads(&packet, &heads))
			return;
		if (length > heads.payload)
			length = heads.payload;
		if (length > HEADS_BYTES)
			length = HEADS_BYTES;
	}
	cookie = bpf_get_socket_cookie(skb);
	if (!claim_of_packet(run, OWNERS(net), EVENT(net_packet_raw), skb, cookie))
		return;
	put_fixed(run, FIELD(net_packet_raw, metadata), &packet, sizeof(packet));
	put_u64(run, FIELD(net_packet_raw, socket), cookie);
	put_packet(run, skb, FIELD(net_packet_raw, data), length, PACKET_BYTES);
	submit(run);
}

/* 1 lets the packet pass: always. */
SEC("cgroup_skb/egress")
int net_packet__egress(struct __sk_buff *skb)
{
	RUN(net_packet__egress, tell_packet(&run, skb, PACKET_EGRESS));
	return 1;
}

SEC("cgroup_skb/ingress")
int net_packet__ingress(struct __sk_buff *skb)
{
	RUN(net_packet__ingress, tell_packet(&run, skb, PACKET_INGRESS));
	return 1;
}
