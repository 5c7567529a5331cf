/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Sockets and their addresses, in the layouts of the C library. */
#pragma once

#define AF_VSOCK 40
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58

/* In the type that a socket is asked for, beside flags. */
#define SOCK_TYPE_MASK 0xf

#define S_IFSOCK_BITS 0140000
#define S_IFMT_BITS 0170000

/* No address is longer: what the kernel copies from a caller. */
#define ADDRESS_BYTES 128

/* Callbacks of a socket, and how it is asked for those of its states. */
enum sock_ops {
	SOCK_OPS_TCP_CONNECT = 3,
	SOCK_OPS_ACTIVE_ESTABLISHED = 4,
	SOCK_OPS_PASSIVE_ESTABLISHED = 5,
	SOCK_OPS_STATE = 10,
	SOCK_OPS_TCP_LISTEN = 11,
};
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
};
#define SOCK_OPS_STATE_FLAG (1 << 2)

struct address_in {
	u16 family;
	__be16 port;
	u32 addr;
	u64 zero;
};
_Static_assert(sizeof(struct address_in) == 16, "struct sockaddr_in");

struct address_in6 {
	u16 family;
	__be16 port;
	u32 flowinfo;
	u32 addr[4];
	u32 scope_id;
};
_Static_assert(sizeof(struct address_in6) == 28, "struct sockaddr_in6");

/* The socket behind a file; NULL if it is none. */
static __always_inline struct socket *socket_of_file(struct file *file)
{
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT_BITS) != S_IFSOCK_BITS)
		return NULL;
	return BPF_CORE_READ(file, private_data);
}

static __always_inline struct socket *socket_of_fd(struct task_struct *task, s32 fd)
{
	return socket_of_file(file_of_fd(task, fd));
}

static __always_inline struct sock *sock_of_fd(struct task_struct *task, s32 fd)
{
	struct socket *sock = socket_of_fd(task, fd);

	return BPF_CORE_READ(sock, sk);
}

static __always_inline u16 family_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family);
}

/* An address that the kernel copied from a caller, `length` bytes of whatever family. */
static __noinline int put_address_at(struct slot *slot, u32 max, u32 index, const void *from, s32 length)
{
	u32 quality = QUALITY_OK;
	u32 bytes = length;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, ADDRESS_BYTES + 4);
	if (!at)
		return 0;
	if (length < 0)
		bytes = 0;
	if (bytes > ADDRESS_BYTES) {
		bytes = ADDRESS_BYTES;
		quality = QUALITY_TRUNCATED;
	}
	KEEP(bytes);
	if (bytes > ADDRESS_BYTES)
		return 0;
	if (bytes && bpf_probe_read_kernel(at + FIELD_HEAD, bytes, from)) {
		bytes = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, index, quality, bytes);
	return 0;
}

static __always_inline void put_address(struct run *run, u8 index, const void *from, s32 length)
{
	put_address_at(run->slot, run->max, index, from, length);
}

enum address_end { LOCAL_END, REMOTE_END };

/* The interface is part of such an address: it means something only on its link. */
static __always_inline bool is_of_link(const struct address_in6 *address)
{
	u8 a = address->addr[0], b = address->addr[0] >> 8;

	return (a == 0xfe && (b & 0xc0) == 0x80) || (a == 0xff && ((b & 0xf) == 1 || (b & 0xf) == 2));
}

static __always_inline u32 scope_of(const struct sock *sk, const struct address_in6 *address)
{
	return is_of_link(address) ? BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if) : 0;
}

/*
 * An address of a socket as the kernel has it. The local port is the one that stays when a closed connection has given it back. A
 * remote end without a port is none.
 */
static __noinline int put_end_at(struct slot *slot, u32 max, u32 index, const struct sock *sk, u32 end)
{
	u16 family = family_of(sk);

	if (!slot)
		return 0;
	if (family == AF_UNIX) {
		const struct unix_sock *named = (const void *)sk;
		struct unix_address *name;

		if (end == REMOTE_END)
			named = (const void *)BPF_CORE_READ(named, peer);
		if (!named || family_of((const void *)named) != AF_UNIX) {
			close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
			return 0;
		}
		name = BPF_CORE_READ(named, addr);
		if (name)
			put_address_at(slot, max, index, &name->name, BPF_CORE_READ(name, len));
		else
			put_address_at(slot, max, index, &family, sizeof(family));
		return 0;
	}
	if (family == AF_INET) {
		struct address_in address = {.family = AF_INET};

		if (end == REMOTE_END) {
			address.port = BPF_CORE_READ(sk, __sk_common.skc_dport);
			address.addr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		} else {
			address.port = BPF_CORE_READ((const struct inet_sock *)sk, inet_sport);
			address.addr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		}
		if (end == LOCAL_END || address.port)
			put_address_at(slot, max, index, &address, sizeof(address));
		else
			close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
		return 0;
	}
	if (family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		struct address_in6 address = {.family = AF_INET6};

		if (end == REMOTE_END) {
			address.port = BPF_CORE_READ(sk, __sk_common.skc_dport);
			bpf_core_read(address.addr, sizeof(address.addr), &sk->__sk_common.skc_v6_daddr);
		} else {
			address.port = BPF_CORE_READ((const struct inet_sock *)sk, inet_sport);
			bpf_core_read(address.addr, sizeof(address.addr), &sk->__sk_common.skc_v6_rcv_saddr);
		}
		address.scope_id = scope_of(sk, &address);
		if (end == LOCAL_END || address.port)
			put_address_at(slot, max, index, &address, sizeof(address));
		else
			close_field(slot, max, index, QUALITY_UNAVAILABLE, 0);
		return 0;
	}
	if (family == AF_VSOCK && end == REMOTE_END && bpf_core_field_exists(struct vsock_sock, remote_addr)) {
		put_address_at(slot, max, index, &((const struct vsock_sock *)sk)->remote_addr, sizeof(struct sockaddr_vm));
		return 0;
	}
	/* Of another family only the family is known. */
	put_address_at(slot, max, index, &family, sizeof(family));
	return 0;
}

static __always_inline void put_local(struct run *run, u8 index, const struct sock *sk)
{
	put_end_at(run->slot, run->max, index, sk, LOCAL_END);
}

static __always_inline void put_remote(struct run *run, u8 index, const struct sock *sk)
{
	put_end_at(run->slot, run->max, index, sk, REMOTE_END);
}

/*
 * The descriptor by which the current task names a socket. The hook does not tell; the registers of the system call do, if its first
 * argument leads to this very socket. Else (io_uring, socketcall of 32-bit programs) it is not known.
 */
static __always_inline void put_sockfd(struct run *run, u8 index, const struct socket *sock)
{
#ifndef LEGACY
	struct call call = call_by_perf(0, 0);
	s32 fd = call_argument(&call, 0);

	if (socket_of_fd(call.task, fd) == sock) {
		put_u32(run, index, fd);
		return;
	}
#endif
	put_nothing(run, index, QUALITY_UNAVAILABLE);
}
