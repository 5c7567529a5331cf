/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets as programs on cgroup_skb see them: from the IP header on. */
#pragma once

#define DNS_PORT 53

#define IPPROTO_IPIP 4
#define IPPROTO_IPV6 41
#define IPPROTO_GRE 47
#define IPPROTO_SCTP 132
/* Of a packet of SCTP so much is taken: its header, and where its first chunks begin. */
#define SCTP_BYTES 140

struct ipv4_head {
	u8 version_ihl, tos;
	__be16 length, id, fragment;
	u8 ttl, protocol;
	u16 check;
	u32 src, dst;
};

struct ipv6_head {
	u8 version, traffic;
	u16 flow;
	__be16 length;
	u8 next, hops;
	u8 src[16], dst[16];
};

enum ipv6_next { IPV6_HOPS = 0, IPV6_ROUTING = 43, IPV6_FRAGMENT = 44, IPV6_AUTHENTICATION = 51, IPV6_DESTINATION = 60 };

/* More headers than that are not looked through. */
#define IPV6_HEADS 8

/* Where the headers of the packet are. */
struct heads {
	u32 over;    /* where what IP carries begins; 0 if it is not in this packet: a later fragment, or malformed */
	u32 payload; /* where what follows the last header known here begins */
	bool fragment; /* of a packet: what a raw socket sent in pieces */
};

static __always_inline void read_ipv4(struct __sk_buff *skb, struct packet_record *packet, struct heads *heads)
{
	struct ipv4_head ip;

	packet->family = AF_INET;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return;
	__builtin_memcpy(packet->src, &ip.src, 4);
	__builtin_memcpy(packet->dst, &ip.dst, 4);
	packet->protocol = ip.protocol;
	heads->payload = (ip.version_ihl & 0xf) * 4;
	heads->fragment = ip.fragment & bpf_htons(0x3fff);
	if (!(ip.fragment & bpf_htons(0x1fff)))
		heads->over = heads->payload;
}

static __always_inline void read_ipv6(struct __sk_buff *skb, struct packet_record *packet, struct heads *heads)
{
	struct ipv6_head ip;
	u32 at = sizeof(ip);

	packet->family = AF_INET6;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return;
	__builtin_memcpy(packet->src, ip.src, 16);
	__builtin_memcpy(packet->dst, ip.dst, 16);
	for (u32 i = 0; i < IPV6_HEADS; i++) {
		struct {
			u8 next, length;
			__be16 fragment;
		} head;

		packet->protocol = ip.next;
		heads->payload = at;
		if (ip.next != IPV6_HOPS && ip.next != IPV6_ROUTING && ip.next != IPV6_FRAGMENT &&
		    ip.next != IPV6_AUTHENTICATION && ip.next != IPV6_DESTINATION) {
			heads->over = at;
			return;
		}
		if (bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
			return;
		if (ip.next == IPV6_FRAGMENT) {
			at += 8;
			heads->fragment = head.fragment & bpf_htons(0xfff9);
			if (head.fragment & bpf_htons(0xfff8)) {
				packet->protocol = head.next;
				heads->payload = at;
				return;
			}
		} else if (ip.next == IPV6_AUTHENTICATION) {
			at += (head.length + 2) * 4;
		} else {
			at += (head.length + 1) * 8;
		}
		ip.next = head.next;
	}
}

/* What the header of TCP, UDP or ICMP says. */
static __always_inline void read_over(struct __sk_buff *skb, struct packet_record *packet, struct heads *heads)
{
	struct {
		__be16 src, dst;
	} ports;

	if (!heads->over)
		return;
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_SCTP) {
		if (bpf_skb_load_bytes(skb, heads->over, &ports, sizeof(ports)))
			return;
		packet->src_port = bpf_ntohs(ports.src);
		packet->dst_port = bpf_ntohs(ports.dst);
	}
	if (packet->protocol == IPPROTO_TCP) {
		u8 offset;

		if (!bpf_skb_load_bytes(skb, heads->over + 12, &offset, 1))
			heads->payload = heads->over + (offset >> 4) * 4;
	} else if (packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_ICMP ||
		   packet->protocol == IPPROTO_ICMPV6) {
		heads->payload = heads->over + 8;
	} else if (packet->protocol == IPPROTO_SCTP) {
		heads->payload = heads->over + SCTP_BYTES;
	}
}

/* What the packet's headers say; false if it is not of IP. */
static __always_inline bool read_packet(struct __sk_buff *skb, u8 direction, struct packet_record *packet, struct heads *heads)
{
	u8 version;

	*packet = (struct packet_record){.direction = direction, .length = skb->len, .ifindex = skb->ifindex};
	*heads = (struct heads){};
	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return false;
	if (version >> 4 == 4)
		read_ipv4(skb, packet, heads);
	else if (version >> 4 == 6)
		read_ipv6(skb, packet, heads);
	else
		return false;
	read_over(skb, packet, heads);
	return true;
}

#define FOUR(a, b, c, d) (__builtin_bswap32((u32)(a) << 24 | (b) << 16 | (c) << 8 | (d)))

/* A head of HTTP begins with these bytes, on whatever port. */
static __always_inline bool is_http(u32 word)
{
	switch (word) {
	case FOUR('G', 'E', 'T', ' '):
	case FOUR('P', 'O', 'S', 'T'):
	case FOUR('P', 'U', 'T', ' '):
	case FOUR('H', 'E', 'A', 'D'):
	case FOUR('D', 'E', 'L', 'E'):
	case FOUR('O', 'P', 'T', 'I'):
	case FOUR('P', 'A', 'T', 'C'):
	case FOUR('C', 'O', 'N', 'N'):
	case FOUR('T', 'R', 'A', 'C'):
	case FOUR('H', 'T', 'T', 'P'):
		return true;
	}
	return false;
}

/* The packet's first `length` bytes, at most `most`, a constant. */
static __always_inline void put_packet(struct run *run, struct __sk_buff *skb, u8 index, u32 length, u32 most)
{
	u8 *at = field_room(run->slot, run->max, most + 4);
	u32 quality = QUALITY_OK;

	if (!at || !length)
		return;
	if (length > most)
		length = most;
	if (length < skb->len)
		quality = QUALITY_TRUNCATED;
	/* 1 to `most`, as each verifier can follow it: two comparisons would become one, of another value. */
	length--;
	KEEP(length);
	if (length >= most)
		return;
	KEEP(length);
	length++;
	if (bpf_skb_load_bytes(skb, 0, at + FIELD_HEAD, length)) {
		length = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(run->slot, run->max, index, quality, length);
}
