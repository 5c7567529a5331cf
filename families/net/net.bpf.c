/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Sockets: connect, bind, listen, accept; the states of TCP. */

/* ---- connect ---- */

/* An address in the caller's memory at the entry of connect, kept for when the kernel has copied it. */
struct named_address {
	u64 words[ADDRESS_BYTES / 8];
	u64 check; /* over the words and the task: see sum_word() */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct named_address));
} task_addresses SEC(".maps");

SYSCALL_ENTER(caller_connect)
{
	struct named_address named = {};
	u32 tid = bpf_get_current_pid_tgid();
	u32 length = call_argument(call, 2);

	if (!entry_in_scope(run, call, EVENT(security_socket_connect)))
		return;
	if (length > ADDRESS_BYTES)
		length = ADDRESS_BYTES;
	KEEP(length);
	if (length > ADDRESS_BYTES || bpf_probe_read_user(named.words, length, (const void *)call_argument(call, 1))) {
		bpf_map_delete_elem(&task_addresses, &tid);
		return;
	}
	named.check = FROM_TASK(call->task, start_boottime);
#pragma clang loop unroll(full)
	for (u32 i = 0; i < ADDRESS_BYTES / 8; i++)
		named.check = sum_word(named.check, named.words[i]);
	bpf_map_update_elem(&task_addresses, &tid, &named, BPF_ANY);
}

/* The kernel's copy against what was kept: that many words, and of the first only what the mask leaves. */
static __always_inline void put_connect_verdict(struct run *run, const u64 *copy, u32 words, u64 mask)
{
#ifndef LEGACY
	u32 tid = bpf_get_current_pid_tgid();
	struct named_address *kept = bpf_map_lookup_elem(&task_addresses, &tid);
	struct call call = call_by_btf(current_registers(), 0);
	u64 check = FROM_TASK(call.task, start_boottime), differs = 0;

	/* A ring's request is of another memory. */
	if (!kept || !CALL_IS(&call, connect) || run->slot->header.flags & RECORD_IO_URING)
		return;
#pragma clang loop unroll(full)
	for (u32 i = 0; i < ADDRESS_BYTES / 8; i++) {
		u64 word = *(volatile u64 *)&kept->words[i];

		check = sum_word(check, word);
		/* No branches: the verifier would walk all their combinations. */
		if (i < words)
			differs |= (word ^ copy[i]) & (i ? ~0ULL : mask);
	}
	if (check == *(volatile u64 *)&kept->check)
		put_u32(run, FIELD(security_socket_connect, rewritten), differs != 0);
	bpf_map_delete_elem(&task_addresses, &tid);
#endif
}

static __always_inline void tell_connect(struct run *run, struct socket *sock, struct sockaddr *address, int length)
{
	u64 copy[ADDRESS_BYTES / 8] = {};
	u32 bytes = length;

	if (!claim(run, EVENT(security_socket_connect)))
		return;
	put_sockfd(run, FIELD(security_socket_connect, sockfd), sock);
	put_u32(run, FIELD(security_socket_connect, type), BPF_CORE_READ(sock, type));
	put_address(run, FIELD(security_socket_connect, remote_addr), address, length);
	KEEP(bytes);
	if (bytes <= ADDRESS_BYTES && !bpf_probe_read_kernel(copy, bytes, address))
		put_connect_verdict(run, copy, ADDRESS_BYTES / 8, ~0ULL);
	submit(run);
}

SEC("lsm/socket_connect")
int BPF_PROG(security_socket_connect__lsm, struct socket *sock, struct sockaddr *address, int addrlen)
{
	return answer(REFUSES(security_socket_connect__lsm, tell_connect(&run, sock, address, addrlen)));
}

SEC("kprobe/security_socket_connect")
int BPF_KPROBE(security_socket_connect__kprobe, struct socket *sock, struct sockaddr *address, int addrlen)
{
	RUN(security_socket_connect__kprobe, tell_connect(&run, sock, address, addrlen));
	return 0;
}

/* The address that a program on a socket's addresses is asked about. The flow label and the interface of IPv6 are not told there. */
#define ADDRESS_IN(ctx) {.family = AF_INET, .port = (ctx)->user_port, .addr = (ctx)->user_ip4}
#define ADDRESS_IN6(ctx)                                                                                \
	{                                                                                               \
		.family = AF_INET6, .port = (ctx)->user_port,                                           \
		.addr = {(ctx)->user_ip6[0], (ctx)->user_ip6[1], (ctx)->user_ip6[2], (ctx)->user_ip6[3]}, \
	}

static __always_inline void tell_connect_inet(struct run *run, u32 type, const void *address, u32 length)
{
	bool four = length == sizeof(struct address_in);
	if (!claim(run, EVENT(security_socket_connect)))
		return;
	put_u32(run, FIELD(security_socket_connect, type), type);
	put_fixed(run, FIELD(security_socket_connect, remote_addr), address, length);
	put_connect_verdict(run, address, four ? 1 : 3, four ? ~0ULL : 0xffffffff);
	submit(run);
}

/* 1 lets the connection be made: always. */
SEC("cgroup/connect4")
int security_socket_connect__inet4(struct bpf_sock_addr *ctx)
{
	struct address_in address = ADDRESS_IN(ctx);

	return !REFUSES(security_socket_connect__inet4, tell_connect_inet(&run, ctx->type, &address, sizeof(address)));
}

SEC("cgroup/connect6")
int security_socket_connect__inet6(struct bpf_sock_addr *ctx)
{
	struct address_in6 address = ADDRESS_IN6(ctx);

	return !REFUSES(security_socket_connect__inet6, tell_connect_inet(&run, ctx->type, &address, sizeof(address)));
}

/* UNIX sockets, and those of virtual machines: the others were told by the programs above. */
SYSCALL_EXIT(security_socket_connect)
{
	s32 fd = call_argument(call, 0);
	struct socket *sock;
	struct sock *sk;
	u16 family;

	sock = socket_of_fd(call->task, fd);
	sk = BPF_CORE_READ(sock, sk);
	if (!sk)
		return;
	family = family_of(sk);
	/* Of an attempt that failed, a UNIX socket does not tell where it was to go. */
	if (!(family == AF_UNIX && call->ret == 0) && family != AF_VSOCK)
		return;
	if (!claim_call(run, call, EVENT(security_socket_connect)))
		return;
	put_u32(run, FIELD(security_socket_connect, sockfd), fd);
	put_u32(run, FIELD(security_socket_connect, type), BPF_CORE_READ(sock, type));
	put_remote(run, FIELD(security_socket_connect, remote_addr), sk);
	submit(run);
}

/* ---- TCP only ---- */

static __always_inline void put_destination(struct run *run, const void *address, u32 length, u16 port)
{
	put_fixed(run, FIELD(net_tcp_connect, dst), address, length);
	put_u32(run, FIELD(net_tcp_connect, dst_port), bpf_ntohs(port));
	submit(run);
}

/* Of the families that TCP has: a socket is told to connect to none to take it off from where it is. */
static __always_inline void tell_tcp_connect(struct run *run, struct socket *sock, const void *address, int length)
{
	struct address_in6 to = {};
	u32 bytes = length;

	if (BPF_CORE_READ(sock, sk, sk_protocol) != IPPROTO_TCP)
		return;
	if (bytes > sizeof(to))
		bytes = sizeof(to);
	KEEP(bytes);
	if (bytes > sizeof(to) || bpf_probe_read_kernel(&to, bytes, address))
		return;
	if (to.family == AF_INET && claim(run, EVENT(net_tcp_connect)))
		put_destination(run, &((struct address_in *)&to)->addr, 4, to.port);
	else if (to.family == AF_INET6 && claim(run, EVENT(net_tcp_connect)))
		put_destination(run, to.addr, 16, to.port);
}

SEC("lsm/socket_connect")
int BPF_PROG(net_tcp_connect__lsm, struct socket *sock, struct sockaddr *address, int addrlen)
{
	return answer(REFUSES(net_tcp_connect__lsm, tell_tcp_connect(&run, sock, address, addrlen)));
}

SEC("kprobe/security_socket_connect")
int BPF_KPROBE(net_tcp_connect__kprobe, struct socket *sock, struct sockaddr *address, int addrlen)
{
	RUN(net_tcp_connect__kprobe, tell_tcp_connect(&run, sock, address, addrlen));
	return 0;
}

static __always_inline void tell_tcp_inet(struct run *run, u32 protocol, const void *address, u32 length, u16 port)
{
	if (protocol == IPPROTO_TCP && claim(run, EVENT(net_tcp_connect)))
		put_destination(run, address, length, port);
}

SEC("cgroup/connect4")
int net_tcp_connect__inet4(struct bpf_sock_addr *ctx)
{
	u32 address = ctx->user_ip4;

	return !REFUSES(net_tcp_connect__inet4, tell_tcp_inet(&run, ctx->protocol, &address, sizeof(address), ctx->user_port));
}

SEC("cgroup/connect6")
int net_tcp_connect__inet6(struct bpf_sock_addr *ctx)
{
	u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	return !REFUSES(net_tcp_connect__inet6, tell_tcp_inet(&run, ctx->protocol, address, sizeof(address), ctx->user_port));
}

/* ---- accept ---- */

SYSCALL_EXIT(socket_accept)
{
	struct sock *sk;

	if (call->ret < 0)
		return;
	sk = sock_of_fd(call->task, call->ret);
	if (!sk || !claim_call(run, call, EVENT(socket_accept)))
		return;
	put_u32(run, FIELD(socket_accept, sockfd), call_argument(call, 0));
	put_u32(run, FIELD(socket_accept, newfd), call->ret);
	put_local(run, FIELD(socket_accept, local_addr), sk);
	put_remote(run, FIELD(socket_accept, remote_addr), sk);
	submit(run);
}

/* ---- bind ---- */

static __always_inline void tell_bind(struct run *run, struct socket *sock, struct sockaddr *address, int length)
{
	if (!claim(run, EVENT(security_socket_bind)))
		return;
	put_sockfd(run, FIELD(security_socket_bind, sockfd), sock);
	put_address(run, FIELD(security_socket_bind, local_addr), address, length);
	submit(run);
}

SEC("lsm/socket_bind")
int BPF_PROG(security_socket_bind__lsm, struct socket *sock, struct sockaddr *address, int addrlen)
{
	return answer(REFUSES(security_socket_bind__lsm, tell_bind(&run, sock, address, addrlen)));
}

SEC("kprobe/security_socket_bind")
int BPF_KPROBE(security_socket_bind__kprobe, struct socket *sock, struct sockaddr *address, int addrlen)
{
	RUN(security_socket_bind__kprobe, tell_bind(&run, sock, address, addrlen));
	return 0;
}

/* Of what is bound by system call it is told at the exit: here, before, only what a policy has refused. */
static __always_inline void tell_refused_bind(struct run *run, const void *address, u32 length)
{
	struct sieve *sieve = sieve_of(EVENT(security_socket_bind));

	if (!sieve || !sieve->deny || !claim(run, EVENT(security_socket_bind)))
		return;
	run->only_denied = true;
	put_fixed(run, FIELD(security_socket_bind, local_addr), address, length);
	submit(run);
}

SEC("cgroup/bind4")
int security_socket_bind__inet4(struct bpf_sock_addr *ctx)
{
	struct address_in address = ADDRESS_IN(ctx);

	return !REFUSES(security_socket_bind__inet4, tell_refused_bind(&run, &address, sizeof(address)));
}

SEC("cgroup/bind6")
int security_socket_bind__inet6(struct bpf_sock_addr *ctx)
{
	struct address_in6 address = ADDRESS_IN6(ctx);

	return !REFUSES(security_socket_bind__inet6, tell_refused_bind(&run, &address, sizeof(address)));
}

SYSCALL_EXIT(security_socket_bind)
{
	s32 fd = call_argument(call, 0);
	struct sock *sk;
	u16 family;

	if (call->ret != 0)
		return;
	sk = sock_of_fd(call->task, fd);
	if (!sk)
		return;
	family = family_of(sk);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	if (!claim_call(run, call, EVENT(security_socket_bind)))
		return;
	put_u32(run, FIELD(security_socket_bind, sockfd), fd);
	put_local(run, FIELD(security_socket_bind, local_addr), sk);
	submit(run);
}

/* ---- sendmsg ---- */

static __always_inline void tell_send(struct run *run, struct socket *sock, struct msghdr *message, int size)
{
	void *address = BPF_CORE_READ(message, msg_name);

	if (!address || !claim(run, EVENT(security_socket_sendmsg)))
		return;
	put_sockfd(run, FIELD(security_socket_sendmsg, sockfd), sock);
	put_u32(run, FIELD(security_socket_sendmsg, type), BPF_CORE_READ(sock, type));
	put_address(run, FIELD(security_socket_sendmsg, remote_addr), address, BPF_CORE_READ(message, msg_namelen));
	put_u32(run, FIELD(security_socket_sendmsg, size), size);
	submit(run);
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(security_socket_sendmsg__lsm, struct socket *sock, struct msghdr *message, int size)
{
	return answer(REFUSES(security_socket_sendmsg__lsm, tell_send(&run, sock, message, size)));
}

SEC("kprobe/security_socket_sendmsg")
int BPF_KPROBE(security_socket_sendmsg__kprobe, struct socket *sock, struct msghdr *message, int size)
{
	RUN(security_socket_sendmsg__kprobe, tell_send(&run, sock, message, size));
	return 0;
}

static __always_inline void tell_send_inet(struct run *run, u32 type, const void *address, u32 length)
{
	if (!claim(run, EVENT(security_socket_sendmsg)))
		return;
	put_u32(run, FIELD(security_socket_sendmsg, type), type);
	put_fixed(run, FIELD(security_socket_sendmsg, remote_addr), address, length);
	submit(run);
}

SEC("cgroup/sendmsg4")
int security_socket_sendmsg__inet4(struct bpf_sock_addr *ctx)
{
	struct address_in address = ADDRESS_IN(ctx);

	return !REFUSES(security_socket_sendmsg__inet4, tell_send_inet(&run, ctx->type, &address, sizeof(address)));
}

SEC("cgroup/sendmsg6")
int security_socket_sendmsg__inet6(struct bpf_sock_addr *ctx)
{
	struct address_in6 address = ADDRESS_IN6(ctx);

	return !REFUSES(security_socket_sendmsg__inet6, tell_send_inet(&run, ctx->type, &address, sizeof(address)));
}

/* ---- listen ---- */

static __always_inline void tell_listen(struct run *run, struct socket *sock, int backlog)
{
	if (!claim(run, EVENT(security_socket_listen)))
		return;
	put_sockfd(run, FIELD(security_socket_listen, sockfd), sock);
	put_local(run, FIELD(security_socket_listen, local_addr), BPF_CORE_READ(sock, sk));
	put_u32(run, FIELD(security_socket_listen, backlog), backlog);
	submit(run);
}

SEC("lsm/socket_listen")
int BPF_PROG(security_socket_listen__lsm, struct socket *sock, int backlog)
{
	return answer(REFUSES(security_socket_listen__lsm, tell_listen(&run, sock, backlog)));
}

SEC("kprobe/security_socket_listen")
int BPF_KPROBE(security_socket_listen__kprobe, struct socket *sock, int backlog)
{
	RUN(security_socket_listen__kprobe, tell_listen(&run, sock, backlog));
	return 0;
}

SYSCALL_EXIT(security_socket_listen)
{
	s32 fd = call_argument(call, 0);
	struct sock *sk;

	if (call->ret != 0)
		return;
	sk = sock_of_fd(call->task, fd);
	if (!sk || !claim_call(run, call, EVENT(security_socket_listen)))
		return;
	put_u32(run, FIELD(security_socket_listen, sockfd), fd);
	put_local(run, FIELD(security_socket_listen, local_addr), sk);
	put_u32(run, FIELD(security_socket_listen, backlog), call_argument(call, 1));
	submit(run);
}

/* ---- states of TCP ---- */

static __always_inline void tell_state(struct run *run, const struct sock *sk, s32 before, s32 after)
{
	/* MPTCP and others pass here too. */
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return;
	if (!claim_owned(run, OWNERS(net), EVENT(net_tcp_state), cookie_of(sk)))
		return;
	put_u32(run, FIELD(net_tcp_state, old_state), before);
	put_u32(run, FIELD(net_tcp_state, new_state), after);
	put_local(run, FIELD(net_tcp_state, local_addr), sk);
	put_remote(run, FIELD(net_tcp_state, remote_addr), sk);
	submit(run);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(net_tcp_state__btf, const struct sock *sk, int before, int after)
{
	RUN(net_tcp_state__btf, tell_state(&run, sk, before, after));
	return 0;
}

SEC("tp/sock/inet_sock_set_state")
int net_tcp_state__perf(struct trace_event_raw_inet_sock_set_state *ctx)
{
	RUN(net_tcp_state__perf, tell_state(&run, ctx->skaddr, ctx->oldstate, ctx->newstate));
	return 0;
}

/*
 * By callbacks of the socket itself. This hook has no guard, so that no run is skipped: the tracepoint's programs run in tasks and in
 * softirqs that interrupt them, and are skipped then. A socket calls back for its states once it was asked to, here: when it
 * connects, listens or comes in. Its first state is told by that.
 */
static __always_inline void put_inet_ends(struct run *run, const struct bpf_sock_ops *ops)
{
	struct address_in local = {.family = AF_INET, .port = bpf_htons(ops->local_port), .addr = ops->local_ip4};
	struct address_in remote = {.family = AF_INET, .port = bpf_htons(bpf_ntohl(ops->remote_port)), .addr = ops->remote_ip4};

	put_fixed(run, FIELD(net_tcp_state, local_addr), &local, sizeof(local));
	if (remote.port)
		put_fixed(run, FIELD(net_tcp_state, remote_addr), &remote, sizeof(remote));
}

static __always_inline void put_inet6_ends(struct run *run, struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct address_in6 local = {
		.family = AF_INET6,
		.port = bpf_htons(ops->local_port),
		.addr = {ops->local_ip6[0], ops->local_ip6[1], ops->local_ip6[2], ops->local_ip6[3]},
	};
	struct address_in6 remote = {
		.family = AF_INET6,
		.port = bpf_htons(bpf_ntohl(ops->remote_port)),
		.addr = {ops->remote_ip6[0], ops->remote_ip6[1], ops->remote_ip6[2], ops->remote_ip6[3]},
	};

	if (sk && is_of_link(&local))
		local.scope_id = sk->bound_dev_if;
	if (sk && is_of_link(&remote))
		remote.scope_id = sk->bound_dev_if;
	put_fixed(run, FIELD(net_tcp_state, local_addr), &local, sizeof(local));
	if (remote.port)
		put_fixed(run, FIELD(net_tcp_state, remote_addr), &remote, sizeof(remote));
}

static __always_inline void tell_callback(struct run *run, struct bpf_sock_ops *ops)
{
	u32 before = TCP_CLOSE, after;
	u64 cookie;

	switch (ops->op) {
	case SOCK_OPS_TCP_CONNECT:
		after = TCP_SYN_SENT;
		break;
	case SOCK_OPS_TCP_LISTEN:
		after = TCP_LISTEN;
		break;
	case SOCK_OPS_STATE:
		before = ops->args[0];
		after = ops->args[1];
		break;
	case SOCK_OPS_ACTIVE_ESTABLISHED:
	case SOCK_OPS_PASSIVE_ESTABLISHED:
		/* Its new state is told next. The handler of accept can read a cookie, but not have one made. */
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | SOCK_OPS_STATE_FLAG);
		bpf_get_socket_cookie(ops);
		return;
	default:
		return;
	}
	if (ops->op != SOCK_OPS_STATE)
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | SOCK_OPS_STATE_FLAG);
	cookie = bpf_get_socket_cookie(ops);
	if (!claim_owned(run, OWNERS(net), EVENT(net_tcp_state), cookie))
		return;
	put_u32(run, FIELD(net_tcp_state, old_state), before);
	put_u32(run, FIELD(net_tcp_state, new_state), after);
	if (ops->family == AF_INET)
		put_inet_ends(run, ops);
	else if (ops->family == AF_INET6)
		put_inet6_ends(run, ops);
	submit(run);
}

SEC("sockops")
int net_tcp_state__sockops(struct bpf_sock_ops *ops)
{
	RUN(net_tcp_state__sockops, tell_callback(&run, ops));
	return 1;
}

/* ---- owners ---- */

/* Of sockets that have events of their own, whichever are wanted: TCP, UDP, ICMP and raw ones. */
static __always_inline void own_created(struct run *run, struct bpf_sock *sk)
{
	keep_owner(run, OWNERS(net), bpf_get_socket_cookie(sk));
}

SEC("cgroup/sock_create")
int net_owner__create(struct bpf_sock *sk)
{
	RUN(net_owner__create, own_created(&run, sk));
	return 1;
}

SEC("sockops")
int net_owner__established(struct bpf_sock_ops *ops)
{
	RUN(net_owner__established, note_callback(OWNERS(net), ops));
	return 1;
}

SYSCALL_EXIT(net_owner__accept)
{
	keep_accepted(run, OWNERS(net), call);
}

/* ---- socket ---- */

static __always_inline void put_creation(struct run *run, u32 family, u32 type, u32 protocol, u32 kern)
{
	put_u32(run, FIELD(security_socket_create, family), family);
	put_u32(run, FIELD(security_socket_create, type), type & SOCK_TYPE_MASK);
	put_u32(run, FIELD(security_socket_create, protocol), protocol);
	put_u32(run, FIELD(security_socket_create, kern), kern);
	submit(run);
}

static __always_inline void tell_creation(struct run *run, u32 family, u32 type, u32 protocol, u32 kern)
{
	if (claim(run, EVENT(security_socket_create)))
		put_creation(run, family, type, protocol, kern);
}

SEC("lsm/socket_create")
int BPF_PROG(security_socket_create__lsm, int family, int type, int protocol, int kern)
{
	return answer(REFUSES(security_socket_create__lsm, tell_creation(&run, family, type, protocol, kern)));
}

SEC("kprobe/security_socket_create")
int BPF_KPROBE(security_socket_create__kprobe, int family, int type, int protocol, int kern)
{
	RUN(security_socket_create__kprobe, tell_creation(&run, family, type, protocol, kern));
	return 0;
}

SYSCALL_EXIT(security_socket_create)
{
	if (claim_call(run, call, EVENT(security_socket_create)))
		put_creation(run, call_argument(call, 0), call_argument(call, 1), call_argument(call, 2), 0);
}

/* ---- sockets past the protocols of the kernel ---- */

#define AF_PACKET 17
#define SOCK_RAW 3

static __always_inline bool is_raw(u32 family, u32 type)
{
	return family == AF_PACKET || ((family == AF_INET || family == AF_INET6) && (type & SOCK_TYPE_MASK) == SOCK_RAW);
}

static __always_inline void put_raw(struct run *run, u32 family, u32 type, u32 protocol)
{
	put_u32(run, FIELD(net_raw_socket, family), family);
	put_u32(run, FIELD(net_raw_socket, type), type & SOCK_TYPE_MASK);
	put_u32(run, FIELD(net_raw_socket, protocol), protocol);
	submit(run);
}

static __always_inline void tell_raw(struct run *run, u32 family, u32 type, u32 protocol, u32 kern)
{
	if (!kern && is_raw(family, type) && claim(run, EVENT(net_raw_socket)))
		put_raw(run, family, type, protocol);
}

SEC("lsm/socket_create")
int BPF_PROG(net_raw_socket__lsm, int family, int type, int protocol, int kern)
{
	return answer(REFUSES(net_raw_socket__lsm, tell_raw(&run, family, type, protocol, kern)));
}

SEC("kprobe/security_socket_create")
int BPF_KPROBE(net_raw_socket__kprobe, int family, int type, int protocol, int kern)
{
	RUN(net_raw_socket__kprobe, tell_raw(&run, family, type, protocol, kern));
	return 0;
}

SYSCALL_EXIT(net_raw_socket)
{
	u32 family = call_argument(call, 0), type = call_argument(call, 1);

	if (is_raw(family, type) && claim_call(run, call, EVENT(net_raw_socket)))
		put_raw(run, family, type, call_argument(call, 2));
}

/* ---- permission to accept ---- */

static __always_inline void tell_accepting(struct run *run, struct socket *sock)
{
	if (!claim(run, EVENT(security_socket_accept)))
		return;
	put_sockfd(run, FIELD(security_socket_accept, sockfd), sock);
	put_local(run, FIELD(security_socket_accept, local_addr), BPF_CORE_READ(sock, sk));
	submit(run);
}

SEC("lsm/socket_accept")
int BPF_PROG(security_socket_accept__lsm, struct socket *sock)
{
	return answer(REFUSES(security_socket_accept__lsm, tell_accepting(&run, sock)));
}

SEC("kprobe/security_socket_accept")
int BPF_KPROBE(security_socket_accept__kprobe, struct socket *sock)
{
	RUN(security_socket_accept__kprobe, tell_accepting(&run, sock));
	return 0;
}

SYSCALL_EXIT(security_socket_accept)
{
	s32 fd = call_argument(call, 0);
	struct sock *sk = sock_of_fd(call->task, fd);

	if (!sk || !claim_call(run, call, EVENT(security_socket_accept)))
		return;
	put_u32(run, FIELD(security_socket_accept, sockfd), fd);
	put_local(run, FIELD(security_socket_accept, local_addr), sk);
	submit(run);
}

/* ---- options ---- */

static __always_inline void put_option(struct run *run, const struct sock *sk, u32 level, u32 name)
{
	put_u32(run, FIELD(security_socket_setsockopt, level), level);
	put_u32(run, FIELD(security_socket_setsockopt, optname), name);
	put_local(run, FIELD(security_socket_setsockopt, local_addr), sk);
	submit(run);
}

static __always_inline void tell_option(struct run *run, struct socket *sock, u32 level, u32 name)
{
	if (!claim(run, EVENT(security_socket_setsockopt)))
		return;
	put_sockfd(run, FIELD(security_socket_setsockopt, sockfd), sock);
	put_option(run, BPF_CORE_READ(sock, sk), level, name);
}

SEC("lsm/socket_setsockopt")
int BPF_PROG(security_socket_setsockopt__lsm, struct socket *sock, int level, int optname)
{
	return answer(REFUSES(security_socket_setsockopt__lsm, tell_option(&run, sock, level, optname)));
}

SEC("kprobe/security_socket_setsockopt")
int BPF_KPROBE(security_socket_setsockopt__kprobe, struct socket *sock, int level, int optname)
{
	RUN(security_socket_setsockopt__kprobe, tell_option(&run, sock, level, optname));
	return 0;
}

SYSCALL_EXIT(security_socket_setsockopt)
{
	s32 fd = call_argument(call, 0);
	struct sock *sk = sock_of_fd(call->task, fd);

	if (!sk || !claim_call(run, call, EVENT(security_socket_setsockopt)))
		return;
	put_u32(run, FIELD(security_socket_setsockopt, sockfd), fd);
	put_option(run, sk, call_argument(call, 1), call_argument(call, 2));
}

/* ---- further descriptors ---- */

#define F_DUPFD 0
#define F_DUPFD_CLOEXEC 1030

static __always_inline bool duplicates(const struct call *call)
{
	u32 command;

	if (!CALL_IS(call, fcntl) && !CALL_IS(call, fcntl64))
		return true;
	command = call_argument(call, 1);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC;
}

SYSCALL_EXIT(socket_dup)
{
	struct sock *sk;

	if (call->ret < 0 || !duplicates(call))
		return;
	sk = sock_of_fd(call->task, call->ret);
	if (!sk || !claim_call(run, call, EVENT(socket_dup)))
		return;
	put_u32(run, FIELD(socket_dup, oldfd), CALL_IS(call, pidfd_getfd) ? call_argument(call, 1) : call_argument(call, 0));
	put_u32(run, FIELD(socket_dup, newfd), call->ret);
	put_remote(run, FIELD(socket_dup, remote_addr), sk);
	submit(run);
}

/*
 * Descriptors that came in messages stand in the control data that the kernel has written into the caller's memory: in one message as in many
 * (recvmmsg), in each behind other things. Each that leads to a socket is told, by a run of its own.
 */
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define RECEIVED_STEPS 65536

/* Where looking for them has come to: in a message, in its control data, in an array of descriptors. */
struct received {
	struct call call;
	u64 message, control, fd;
	u64 control_left;
	u32 messages_left, fds_left;
};

/* A number as wide as the caller's. */
static __always_inline u64 read_long(bool narrow, u64 from)
{
	u64 value = 0;

	if (narrow)
		bpf_probe_read_user(&value, 4, (const void *)from);
	else
		bpf_probe_read_user(&value, 8, (const void *)from);
	return value;
}

static __always_inline void next_message(struct received *at, bool narrow)
{
	/* struct user_msghdr; with a length behind it where there may be many. */
	u64 control = at->message + (narrow ? 16 : 32), length = at->message + (narrow ? 20 : 40);

	at->control = read_long(narrow, control);
	at->control_left = read_long(narrow, length);
	at->message += narrow ? 32 : 64;
	at->messages_left--;
}

static __always_inline void next_control(struct received *at, bool narrow)
{
	u32 head = narrow ? 12 : 16, level_and_type[2] = {};
	u64 length = read_long(narrow, at->control);

	bpf_probe_read_user(level_and_type, 8, (const void *)(at->control + head - 8));
	if (length < head || length > at->control_left) {
		at->control_left = 0;
		return;
	}
	if (level_and_type[0] == SOL_SOCKET && level_and_type[1] == SCM_RIGHTS) {
		at->fd = at->control + head;
		at->fds_left = (length - head) / 4;
	}
	length = narrow ? (length + 3) & ~3ULL : (length + 7) & ~7ULL;
	at->control += length;
	at->control_left = length < at->control_left ? at->control_left - length : 0;
}

static __always_inline bool has_control(const struct received *at, bool narrow)
{
	return at->control_left >= (narrow ? 12 : 16);
}

#ifndef LEGACY
static __always_inline void tell_received(struct run *run, const struct call *call, s32 fd, const struct sock *sk)
{
	if (!claim_call(run, call, EVENT(socket_dup)))
		return;
	put_u32(run, FIELD(socket_dup, newfd), fd);
	put_remote(run, FIELD(socket_dup, remote_addr), sk);
	submit(run);
}

static long received_step(u32 n, struct received *at)
{
	bool narrow = at->call.number >= COMPAT_BASE;

	if (at->fds_left) {
		struct sock *sk;
		s32 fd = -1;

		bpf_probe_read_user(&fd, sizeof(fd), (const void *)at->fd);
		at->fd += sizeof(fd);
		at->fds_left--;
		sk = sock_of_fd(at->call.task, fd);
		if (sk)
			RUN(socket_dup_received, tell_received(&run, &at->call, fd, sk));
	} else if (has_control(at, narrow)) {
		next_control(at, narrow);
	} else if (at->messages_left) {
		next_message(at, narrow);
	} else {
		return 1;
	}
	return 0;
}
#endif

SYSCALL_EXIT(socket_dup_received)
{
	struct received at = {.call = *call};

	if (call->ret < 0 || !in_scope(run, call->task, EVENT(socket_dup), call->ret, true))
		return;
	at.message = call_argument(call, 1);
	at.messages_left = forget_here(CALL_IS(call, recvmmsg) ? call->ret : 1);
	at.control_left = forget_here(0);
	at.fds_left = forget_here(0);
#ifdef LEGACY
	/* Without a loop: that there was something, in the first message, is counted. */
	{
		bool narrow = call->number >= COMPAT_BASE;

		next_message(&at, narrow);
		if (has_control(&at, narrow))
			next_control(&at, narrow);
		at.messages_left = 0;
	}
#else
	bpf_loop(RECEIVED_STEPS, received_step, &at, 0);
#endif
	if (at.messages_left || at.fds_left)
		ledger_count(run, UNTRACKED);
}
