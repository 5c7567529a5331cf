/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* TCP connections from their beginning to their end, by callbacks of the socket itself: a hook without a guard. */

/*
 * A connection under way, by its socket's cookie: taken away when it ends. Not one that forgets the oldest, as of what it forgot nothing
 * would tell. The kernel gives the memory of what is taken away to another key at once: hence the sum.
 */
struct flow {
	u64 began; /* boot clock, ns */
	u64 outgoing;
	u64 sum; /* over both and the cookie: see sum_word() */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(key_size, 8);
	__uint(value_size, sizeof(struct flow));
} net_flows SEC(".maps");

static __always_inline u64 sum_flow(u64 cookie, u64 began, u64 outgoing)
{
	return sum_word(sum_word(cookie, began), outgoing);
}

/* Why a connection ended: families/names.tsv has the names. */
enum flow_end { FLOW_CLOSED = 1, FLOW_CLOSED_BY_PEER = 2, FLOW_RESET_BY_PEER = 3, FLOW_TIMEOUT = 4, FLOW_ABORTED = 5 };
enum { ERROR_PIPE = 32, ERROR_CONNRESET = 104, ERROR_TIMEDOUT = 110 };

static __always_inline enum flow_end flow_end_of(u32 state, int error)
{
	if (error == ERROR_TIMEDOUT)
		return FLOW_TIMEOUT;
	if (error == ERROR_CONNRESET || error == ERROR_PIPE)
		return FLOW_RESET_BY_PEER;
	if (state == TCP_LAST_ACK)
		return FLOW_CLOSED_BY_PEER;
	if (state == TCP_FIN_WAIT2 || state == TCP_TIME_WAIT || state == TCP_CLOSING)
		return FLOW_CLOSED;
	return FLOW_ABORTED;
}

/* The fields that both events have, with the same indices in both: where from is the end that connected. */
_Static_assert(FIELD(net_flow_tcp_begin, dst_port) == FIELD(net_flow_tcp_end, dst_port), "the same indices");

static __always_inline void put_flow(struct run *run, struct bpf_sock_ops *ops, bool outgoing)
{
	u32 local_port = ops->local_port, remote_port = bpf_ntohl(ops->remote_port);
	u8 local = outgoing ? FIELD(net_flow_tcp_begin, src) : FIELD(net_flow_tcp_begin, dst);
	u8 remote = outgoing ? FIELD(net_flow_tcp_begin, dst) : FIELD(net_flow_tcp_begin, src);

	put_fixed(run, FIELD(net_flow_tcp_begin, conn_direction), outgoing ? "outgoing" : "incoming", 8);
	if (ops->family == AF_INET) {
		u32 ours = ops->local_ip4, theirs = ops->remote_ip4;

		put_fixed(run, local, &ours, 4);
		put_fixed(run, remote, &theirs, 4);
	} else {
		u32 ours[4] = {ops->local_ip6[0], ops->local_ip6[1], ops->local_ip6[2], ops->local_ip6[3]};
		u32 theirs[4] = {ops->remote_ip6[0], ops->remote_ip6[1], ops->remote_ip6[2], ops->remote_ip6[3]};

		put_fixed(run, local, ours, 16);
		put_fixed(run, remote, theirs, 16);
	}
	put_u32(run, FIELD(net_flow_tcp_begin, src_port), outgoing ? local_port : remote_port);
	put_u32(run, FIELD(net_flow_tcp_begin, dst_port), outgoing ? remote_port : local_port);
}

static __always_inline void begin_flow(struct run *run, struct bpf_sock_ops *ops, bool outgoing)
{
	u64 cookie = bpf_get_socket_cookie(ops);
	struct flow flow = {.began = bpf_ktime_get_boot_ns(), .outgoing = outgoing};

	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | SOCK_OPS_STATE_FLAG);
	flow.sum = sum_flow(cookie, flow.began, flow.outgoing);
	/* The end of what is not kept is not told. */
	if (bpf_map_update_elem(&net_flows, &cookie, &flow, BPF_ANY))
		ledger_count(run, UNTRACKED);
	if (!WANTED(net_flow_tcp_begin) || !claim_owned(run, OWNERS(net), EVENT(net_flow_tcp_begin), cookie))
		return;
	put_flow(run, ops, outgoing);
	submit(run);
}

/* What the kernel has counted. */
static __always_inline void put_counts(struct run *run, const struct tcp_sock *tcp)
{
	put_u64(run, FIELD(net_flow_tcp_end, bytes_sent), BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans));
	put_u64(run, FIELD(net_flow_tcp_end, bytes_received), BPF_CORE_READ(tcp, bytes_received));
	put_u32(run, FIELD(net_flow_tcp_end, packets_sent), BPF_CORE_READ(tcp, segs_out));
	put_u32(run, FIELD(net_flow_tcp_end, packets_received), BPF_CORE_READ(tcp, segs_in));
	put_u32(run, FIELD(net_flow_tcp_end, rtt), BPF_CORE_READ(tcp, srtt_us) >> 3);
	put_u32(run, FIELD(net_flow_tcp_end, retransmissions), BPF_CORE_READ(tcp, total_retrans));
}

static __always_inline void end_flow(struct run *run, struct bpf_sock_ops *ops, u32 state)
{
	u64 cookie = bpf_get_socket_cookie(ops);
	u64 began = 0, outgoing = 0, sum = 0;
	struct flow *kept = bpf_map_lookup_elem(&net_flows, &cookie);
	struct bpf_sock *sk = ops->sk;

	if (kept) {
		began = *(volatile u64 *)&kept->began;
		outgoing = *(volatile u64 *)&kept->outgoing;
		sum = *(volatile u64 *)&kept->sum;
		bpf_map_delete_elem(&net_flows, &cookie);
	}
	/* None where it was made before this program came. */
	if (!kept || sum != sum_flow(cookie, began, outgoing) || !WANTED(net_flow_tcp_end) || !sk)
		return;
	if (!claim_owned(run, OWNERS(net), EVENT(net_flow_tcp_end), cookie))
		return;
	put_flow(run, ops, outgoing);
	put_u64(run, FIELD(net_flow_tcp_end, duration), run->slot->header.time - began);
	/* The verifier knows of this pointer only what a bpf_sock has; it is the socket. */
	const void *socket = (const void *)forget(run->slot, (u64)sk);

	put_u32(run, FIELD(net_flow_tcp_end, reason), flow_end_of(state, BPF_CORE_READ((const struct sock *)socket, sk_err)));
	put_counts(run, socket);
	submit(run);
}

static __always_inline void tell_flow(struct run *run, struct bpf_sock_ops *ops)
{
	u32 before;

	if (ops->family != AF_INET && ops->family != AF_INET6)
		return;
	switch (ops->op) {
	case SOCK_OPS_ACTIVE_ESTABLISHED:
		begin_flow(run, ops, true);
		break;
	case SOCK_OPS_PASSIVE_ESTABLISHED:
		begin_flow(run, ops, false);
		break;
	case SOCK_OPS_STATE:
		before = ops->args[0];
		/* Not of what never was a connection. */
		if (ops->args[1] == TCP_CLOSE && before != TCP_SYN_SENT && before != TCP_SYN_RECV && before != TCP_LISTEN &&
		    before != TCP_CLOSE)
			end_flow(run, ops, before);
		break;
	}
}

SEC("sockops")
int net_flow_tcp__sockops(struct bpf_sock_ops *ops)
{
	RUN(net_flow_tcp__sockops, tell_flow(&run, ops));
	return 1;
}
