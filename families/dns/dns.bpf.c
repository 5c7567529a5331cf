/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* DNS over UDP, read from packets as they pass a cgroup's border. A packet begins with its IP header here, whole: not in fragments. */

#define DNS_PORT 53
#define DNS_HEAD 12
#define DNS_BYTES 4096
#define DNS_IS_RESPONSE 0x80 /* in the third byte */

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

struct udp_head {
	__be16 src, dst, length, check;
};

enum ipv6_next { IPV6_HOPS = 0, IPV6_ROUTING = 43, IPV6_FRAGMENT = 44, IPV6_AUTHENTICATION = 51, IPV6_DESTINATION = 60 };

/* More headers than that are not looked through. */
#define IPV6_HEADS 8

/* Where the UDP header begins; 0 if the packet has none. */
static __always_inline u32 udp_in_ipv4(struct __sk_buff *skb, struct packet_record *packet)
{
	struct ipv4_head ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP ||
	    (ip.fragment & bpf_htons(0x1fff)))
		return 0;
	packet->family = AF_INET;
	__builtin_memcpy(packet->src, &ip.src, 4);
	__builtin_memcpy(packet->dst, &ip.dst, 4);
	return (ip.version_ihl & 0xf) * 4;
}

static __always_inline u32 udp_in_ipv6(struct __sk_buff *skb, struct packet_record *packet)
{
	struct ipv6_head ip;
	u32 at = sizeof(ip);

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	packet->family = AF_INET6;
	__builtin_memcpy(packet->src, ip.src, 16);
	__builtin_memcpy(packet->dst, ip.dst, 16);
	for (u32 i = 0; i < IPV6_HEADS; i++) {
		struct {
			u8 next, length;
			__be16 fragment;
		} head;

		if (ip.next == IPPROTO_UDP)
			return at;
		if (ip.next != IPV6_HOPS && ip.next != IPV6_ROUTING && ip.next != IPV6_FRAGMENT &&
		    ip.next != IPV6_AUTHENTICATION && ip.next != IPV6_DESTINATION)
			return 0;
		if (bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
			return 0;
		if (ip.next == IPV6_FRAGMENT) {
			if (head.fragment & bpf_htons(0xfff8))
				return 0;
			at += 8;
		} else if (ip.next == IPV6_AUTHENTICATION) {
			at += (head.length + 2) * 4;
		} else {
			at += (head.length + 1) * 8;
		}
		ip.next = head.next;
	}
	return 0;
}

/* The message as it is in the packet: `length` of its bytes, up to DNS_BYTES. */
static __always_inline void put_dns(struct run *run, u8 index, struct __sk_buff *skb, u32 from, u32 length, bool cut)
{
	u8 *at = field_room(run->slot, run->max, DNS_BYTES + 4);
	u32 quality = cut ? QUALITY_TRUNCATED : QUALITY_OK;

	if (!at)
		return;
	if (length > DNS_BYTES) {
		length = DNS_BYTES;
		quality = QUALITY_TRUNCATED;
	}
	KEEP(length);
	if (length < DNS_HEAD || length > DNS_BYTES)
		return;
	if (bpf_skb_load_bytes(skb, from, at + FIELD_HEAD, length)) {
		length = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(run->slot, run->max, index, quality, length);
}

static __always_inline void tell_dns(struct run *run, struct __sk_buff *skb, u8 direction)
{
	struct packet_record packet = {};
	struct udp_head udp;
	u32 at, length, whole;
	u8 version, flags;

	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return;
	if (version >> 4 == 4)
		at = udp_in_ipv4(skb, &packet);
	else if (version >> 4 == 6)
		at = udp_in_ipv6(skb, &packet);
	else
		return;
	if (!at || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
		return;
	packet.src_port = bpf_ntohs(udp.src);
	packet.dst_port = bpf_ntohs(udp.dst);
	if (packet.src_port != DNS_PORT && packet.dst_port != DNS_PORT)
		return;
	packet.protocol = IPPROTO_UDP;
	packet.direction = direction;
	packet.length = skb->len;
	packet.ifindex = skb->ifindex;

	at += sizeof(udp);
	whole = bpf_ntohs(udp.length);
	if (skb->len < at + DNS_HEAD || whole < sizeof(udp) + DNS_HEAD)
		return;
	whole -= sizeof(udp);
	length = skb->len - at;
	if (length > whole)
		length = whole;
	if (bpf_skb_load_bytes(skb, at + 2, &flags, 1))
		return;
	if (flags & DNS_IS_RESPONSE) {
		if (!WANTED(net_packet_dns_response) ||
		    !claim_owned(run, EVENT(net_packet_dns_response), bpf_get_socket_cookie(skb)))
			return;
		put_fixed(run, FIELD(net_packet_dns_response, metadata), &packet, sizeof(packet));
		put_dns(run, FIELD(net_packet_dns_response, dns_response), skb, at, length, length < whole);
	} else {
		if (!WANTED(net_packet_dns_request) ||
		    !claim_owned(run, EVENT(net_packet_dns_request), bpf_get_socket_cookie(skb)))
			return;
		put_fixed(run, FIELD(net_packet_dns_request, metadata), &packet, sizeof(packet));
		put_dns(run, FIELD(net_packet_dns_request, dns_questions), skb, at, length, length < whole);
	}
	submit(run);
}

/* 1 lets the packet pass: always. */
SEC("cgroup_skb/egress")
int net_packet_dns__egress(struct __sk_buff *skb)
{
	RUN(net_packet_dns__egress, tell_dns(&run, skb, PACKET_EGRESS));
	return 1;
}

SEC("cgroup_skb/ingress")
int net_packet_dns__ingress(struct __sk_buff *skb)
{
	RUN(net_packet_dns__ingress, tell_dns(&run, skb, PACKET_INGRESS));
	return 1;
}
