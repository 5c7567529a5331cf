/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets, as they pass a cgroup's border: whole, from the IP header on, before they are cut into fragments and after they are put
 * together again. One program for each way reads a packet once. What it tells is net_packet_raw, of which user space makes the other
 * events (crates/packet): here is decided only whether any of them is wanted, and how much of the packet it takes.
 */

#include "packet.h"

#define MDNS_PORT 5353
#define LLMNR_PORT 5355
#define VXLAN_PORT 4789
#define GENEVE_PORT 6081
#define PACKET_BYTES 7168
#define HEADS_BYTES 256

#define WANTED_DNS (WANTED(net_packet_dns) || WANTED(net_packet_dns_request) || WANTED(net_packet_dns_response))

#define WANTED_HTTP (WANTED(net_packet_http) || WANTED(net_packet_http_request) || WANTED(net_packet_http_response))

#define WANTED_TLS (WANTED(net_packet_tls_client_hello) || WANTED(net_packet_tls_server_hello))

#define WANTED_STREAMS (WANTED_HTTP || WANTED_TLS || WANTED(net_packet_ssh_banner))

#define WANTED_FLOWS (WANTED(net_flow_udp_begin) || WANTED(net_flow_udp_end))

/* As much of a connection is copied from where a message begins that is wanted: crates/packet takes no longer one. */
#define STREAM_BYTES 16384

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

/* A record of TLS with a hello begins so: its type, the version, its length; then the type of the message. */
static __always_inline bool is_hello(struct __sk_buff *skb, u32 at, u32 word)
{
	u8 message;

	if ((word & 0xffff) != (22 | 3 << 8))
		return false;
	/* Where the type is not there yet, it may be one. */
	return bpf_skb_load_bytes(skb, at + 5, &message, 1) || message == 1 || message == 2;
}

/* A message that is wanted begins with these bytes. */
static __always_inline bool begins_message(struct __sk_buff *skb, u32 at, u32 word)
{
	if (WANTED_HTTP && is_http(word))
		return true;
	if (WANTED(net_packet_ssh_banner) && word == FOUR('S', 'S', 'H', '-'))
		return true;
	return WANTED_TLS && is_hello(skb, at, word);
}

/* The segment begins a message, or may go on with one. */
static __always_inline bool wants_segment(struct __sk_buff *skb, const struct packet_record *packet, const struct heads *heads)
{
	u64 key = bpf_get_socket_cookie(skb) << 1 | (packet->direction == PACKET_EGRESS);
	u32 word, left, length = skb->len - heads->payload;
	u64 *kept, keeps;

	if (skb->len <= heads->payload)
		return false;
	if (!bpf_skb_load_bytes(skb, heads->payload, &word, sizeof(word)) && begins_message(skb, heads->payload, word)) {
		keep_left(key, length < STREAM_BYTES ? STREAM_BYTES - length : 0, BPF_ANY);
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

static __always_inline bool has_port(const struct packet_record *packet, u16 port)
{
	return packet->src_port == port || packet->dst_port == port;
}

/*
 * What may be a DNS message on any port: a question or a notification, with one question in it and nothing that a resolver
 * does not send. crates/packet looks whether it is one.
 */
static __always_inline bool may_be_dns(const u8 *head)
{
	if ((head[2] & 0x58) || (head[3] & 0x40) || head[4] || head[5] != 1)
		return false;
	if (!(head[2] & 0x80))
		return !(head[3] & 0xf) && !head[6] && !head[7] && !head[8] && !head[9] && !head[10];
	return !head[6] && !head[8] && !head[10];
}

#define QUIC_1 0x00000001
#define QUIC_2 0x6b3343cf

/* An Initial packet of QUIC, by its first byte and its version. */
static __always_inline bool is_initial(const u8 *head)
{
	u32 version = (u32)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];

	return (version == QUIC_1 && (head[0] & 0xf0) == 0xc0) || (version == QUIC_2 && (head[0] & 0xf0) == 0xd0);
}

/* An event wants what a datagram carries. */
static __always_inline bool wants_datagram(struct __sk_buff *skb, const struct packet_record *packet, const struct heads *heads)
{
	u8 head[12];

	if (WANTED_DNS && (has_port(packet, DNS_PORT) || has_port(packet, MDNS_PORT) || has_port(packet, LLMNR_PORT)))
		return true;
	/* Another packet may be in it. */
	if (packet->dst_port == VXLAN_PORT || packet->dst_port == GENEVE_PORT)
		return true;
	if (!WANTED_DNS && !WANTED(net_packet_quic_initial))
		return false;
	if (bpf_skb_load_bytes(skb, heads->payload, head, sizeof(head)))
		return false;
	return (WANTED_DNS && may_be_dns(head)) || (WANTED(net_packet_quic_initial) && is_initial(head));
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
		return WANTED(net_packet_udp) || WANTED_FLOWS;
	case IPPROTO_SCTP:
		return WANTED(net_packet_sctp);
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
	/* It is put together in user space. */
	if (heads->fragment)
		return true;
	if (!heads->over)
		return false;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		if (WANTED_DNS && has_port(packet, DNS_PORT))
			return skb->len > heads->payload;
		return WANTED_STREAMS && wants_segment(skb, packet, heads);
	case IPPROTO_UDP:
		return wants_datagram(skb, packet, heads);
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
		return true;
	}
	return false;
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
