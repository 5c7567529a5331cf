/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is done through rings. The hooks of the lsm and kprobe tiers also run for a request; tracepoints of system calls do not. So for events
 * that are taken at the exit of system calls, these programs tell of requests (HELPED). A record is put together when the request is
 * submitted: then the task that did so runs, and the kernel's copies of names are there. It waits for the completion, which has the result. A
 * request that will have no completion of its own, or one that could be taken for another's, is told at once, without a result.
 */

#define IORING_CQE_F_MORE (1 << 1)
#define IORING_CQE_F_NOTIF (1 << 3)
#define REQ_F_FIXED_FILE (1 << 0)
#define REQ_F_CQE_SKIP (1 << 6)

/* include/uapi/linux/io_uring.h */
enum ring_op {
	OP_ACCEPT = 13,
	OP_CONNECT = 16,
	OP_OPENAT = 18,
	OP_OPENAT2 = 28,
	OP_RENAMEAT = 35,
	OP_UNLINKAT = 36,
	OP_MKDIRAT = 37,
	OP_SYMLINKAT = 38,
	OP_LINKAT = 39,
	OP_FTRUNCATE = 55,
	OP_BIND = 56,
	OP_LISTEN = 57,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct io_cqe {
	s32 fd;
};

struct io_kiocb {
	struct file *file;
	struct io_cqe cqe;
};

struct open_how {
	u64 flags;
};

/* Linux 7 holds the kernel's copy of a name so. */
struct delayed_filename {
	struct filename *__incomplete_filename;
};

struct io_open {
	int dfd;
	u32 file_slot;
	struct filename *filename;
	struct open_how how;
};
struct io_open___delayed {
	struct delayed_filename filename;
};

struct io_unlink {
	int dfd, flags;
	struct filename *filename;
};
struct io_unlink___delayed {
	struct delayed_filename filename;
};

struct io_mkdir {
	int dfd;
	umode_t mode;
	struct filename *filename;
};
struct io_mkdir___delayed {
	struct delayed_filename filename;
};

struct io_rename {
	int old_dfd, new_dfd, flags;
	struct filename *oldpath, *newpath;
};
struct io_rename___delayed {
	struct delayed_filename oldpath, newpath;
};

/* Of links of both kinds. */
struct io_link {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};
struct io_link___delayed {
	struct delayed_filename oldpath, newpath;
};

struct io_ftrunc {
	s64 len;
};

struct io_listen {
	int backlog;
};

struct trace_event_raw_io_uring_submit_req {
	void *ctx, *req;
	u64 user_data;
	u8 opcode;
	u64 flags;
	bool sq_thread;
	u32 __data_loc_op_str;
};

struct trace_event_raw_io_uring_complete {
	void *ctx, *req;
	u64 user_data;
	int res;
	unsigned int cflags;
};

struct trace_event_raw_io_uring_cqe_overflow {
	void *ctx;
	u64 user_data;
};

#pragma clang attribute pop

/* The kernel's copy of a name that a request was given. */
#define COPIED(type, command, field)                                                                                         \
	(bpf_core_field_exists(struct type, field)                                                                           \
		 ? (u64)BPF_CORE_READ((struct type *)(command), field, name)                                                 \
		 : (u64)BPF_CORE_READ((struct type##___delayed *)(command), field.__incomplete_filename, name))

/* A record that waits, in its slot's layout. What only a submitted record has, holds other things until then. */
#define REQUEST_BYTES 7680
struct request {
	struct record_header header;
	u8 data[REQUEST_BYTES];
};
#define REQUEST_OF seq	/* in the header: the request */
#define REQUEST_CUT ret /* in the header: where the fields begin that a completion may have better */

struct request_key {
	u64 ctx, user_data;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
#ifdef LEGACY
	/* Those kernels have no tracepoint that tells of a request, and warn of memory that is allocated while tracing. */
	__uint(max_entries, 1);
#else
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
#endif
	__uint(key_size, sizeof(struct request_key));
	__uint(value_size, sizeof(struct request));
} task_requests SEC(".maps");

/* The event is wanted, and nothing else tells of requests. */
#define HELPED(name) (cfg.events[INDEX_##name] & 2 || (cfg.extendable && wanted_later(INDEX_##name) & 2))
#define CLAIM(name) (HELPED(name) && claim(run, EVENT(name)))

static __always_inline void put_socket_number(struct run *run, u8 index, const struct io_kiocb *request, u64 flags)
{
	/* Else it is a place in the ring's own table. */
	if (flags & REQ_F_FIXED_FILE)
		put_nothing(run, index, QUALITY_UNAVAILABLE);
	else
		put_u32(run, index, BPF_CORE_READ(request, cqe.fd));
}

/* Puts what is known when a request is submitted. True if it is of an event. */
static __always_inline bool put_request(struct run *run, u32 op, const struct io_kiocb *request, u64 flags)
{
	const void *command = request;

	switch (op) {
	case OP_OPENAT:
	case OP_OPENAT2: {
		const struct io_open *open = command;
		u64 name = COPIED(io_open, open, filename);

		if (!CLAIM(security_file_open))
			return false;
		put_kernel_string(run, FIELD(security_file_open, syscall_pathname), (const void *)name);
		run->slot->header.REQUEST_CUT = run->slot->used;
		put_u32(run, FIELD(security_file_open, flags), BPF_CORE_READ(open, how.flags));
		put_copied_path(run, FIELD(security_file_open, pathname), BPF_CORE_READ(open, dfd), name);
		return true;
	}
	case OP_UNLINKAT: {
		const struct io_unlink *unlink = command;
		s32 directory = BPF_CORE_READ(unlink, dfd);
		u64 name = COPIED(io_unlink, unlink, filename);

		if (BPF_CORE_READ(unlink, flags) & AT_REMOVEDIR) {
			if (!CLAIM(security_inode_rmdir))
				return false;
			put_copied_path(run, FIELD(security_inode_rmdir, pathname), directory, name);
			return true;
		}
		if (!CLAIM(security_inode_unlink))
			return false;
		put_copied_path(run, FIELD(security_inode_unlink, pathname), directory, name);
		return true;
	}
	case OP_MKDIRAT: {
		const struct io_mkdir *mkdir = command;

		if (!CLAIM(security_inode_mkdir))
			return false;
		put_u32(run, FIELD(security_inode_mkdir, mode), BPF_CORE_READ(mkdir, mode) & S_IALLUGO);
		put_copied_path(run, FIELD(security_inode_mkdir, pathname), BPF_CORE_READ(mkdir, dfd),
				COPIED(io_mkdir, mkdir, filename));
		return true;
	}
	case OP_RENAMEAT: {
		const struct io_rename *rename = command;

		if (!CLAIM(security_inode_rename))
			return false;
		put_u32(run, FIELD(security_inode_rename, flags), BPF_CORE_READ(rename, flags));
		put_copied_path(run, FIELD(security_inode_rename, old_path), BPF_CORE_READ(rename, old_dfd),
				COPIED(io_rename, rename, oldpath));
		put_copied_path(run, FIELD(security_inode_rename, new_path), BPF_CORE_READ(rename, new_dfd),
				COPIED(io_rename, rename, newpath));
		return true;
	}
	case OP_LINKAT: {
		const struct io_link *link = command;

		if (!CLAIM(security_inode_link))
			return false;
		put_copied_path(run, FIELD(security_inode_link, old_path), BPF_CORE_READ(link, old_dfd),
				COPIED(io_link, link, oldpath));
		put_copied_path(run, FIELD(security_inode_link, new_path), BPF_CORE_READ(link, new_dfd),
				COPIED(io_link, link, newpath));
		return true;
	}
	case OP_SYMLINKAT: {
		const struct io_link *link = command;

		if (!CLAIM(security_inode_symlink))
			return false;
		put_kernel_string(run, FIELD(security_inode_symlink, target), (const void *)COPIED(io_link, link, oldpath));
		put_copied_path(run, FIELD(security_inode_symlink, linkpath), BPF_CORE_READ(link, new_dfd),
				COPIED(io_link, link, newpath));
		return true;
	}
	case OP_FTRUNCATE:
		if (!CLAIM(do_truncate))
			return false;
		put_truncated(run, BPF_CORE_READ(request, file));
		put_u64(run, FIELD(do_truncate, length), BPF_CORE_READ((const struct io_ftrunc *)command, len));
		return true;
	case OP_ACCEPT:
		if (!CLAIM(socket_accept))
			return false;
		put_socket_number(run, FIELD(socket_accept, sockfd), request, flags);
		return true;
	case OP_CONNECT:
		if (!CLAIM(security_socket_connect))
			return false;
		put_socket_number(run, FIELD(security_socket_connect, sockfd), request, flags);
		return true;
	case OP_BIND:
		if (!CLAIM(security_socket_bind))
			return false;
		put_socket_number(run, FIELD(security_socket_bind, sockfd), request, flags);
		return true;
	case OP_LISTEN:
		if (!CLAIM(security_socket_listen))
			return false;
		put_socket_number(run, FIELD(security_socket_listen, sockfd), request, flags);
		put_u32(run, FIELD(security_socket_listen, backlog),
			BPF_CORE_READ((const struct io_listen *)command, backlog));
		return true;
	}
	return false;
}

static __always_inline void keep_request(struct run *run, const struct request_key *key, u64 request, u64 flags)
{
	struct slot *slot = run->slot;
	struct request *other;

	slot->header.flags |= RECORD_IO_URING;
	if (slot->too_big || slot->used > REQUEST_BYTES) {
		slot->too_big = 1;
		submit(run);
		return;
	}
	if (!(flags & REQ_F_CQE_SKIP)) {
		slot->header.REQUEST_OF = request;
		slot->header.length = slot->used;
		if (!bpf_map_update_elem(&task_requests, key, &slot->header, BPF_NOEXIST))
			return;
		/* The kernel uses the memory of a request anew: then what was kept is of one that has ended. */
		other = bpf_map_lookup_elem(&task_requests, key);
		if (other && other->header.REQUEST_OF == request &&
		    !bpf_map_update_elem(&task_requests, key, &slot->header, BPF_ANY))
			return;
	}
	slot->header.ret = 0;
	submit(run);
}

static __always_inline void tell_request(struct run *run, struct trace_event_raw_io_uring_submit_req *ctx)
{
	struct request_key key = {.ctx = (u64)ctx->ctx, .user_data = ctx->user_data};

	if (put_request(run, ctx->opcode, ctx->req, ctx->flags))
		keep_request(run, &key, (u64)ctx->req, ctx->flags);
}

SEC("tp/io_uring/io_uring_submit_req")
int uring_submit(struct trace_event_raw_io_uring_submit_req *ctx)
{
	RUN(uring_submit, tell_request(&run, ctx));
	return 0;
}

/* The current task shares its descriptors with the one that submitted: it is that, or works for it. */
static __always_inline struct file *file_of_result(const struct record_header *header, s32 fd)
{
	if (bpf_get_current_pid_tgid() >> 32 != header->pid)
		return NULL;
	return file_of_fd(current_task(), fd);
}

/* Puts what only the completion has. False if there is nothing to tell. */
static __always_inline bool put_result(struct run *run, const struct io_kiocb *request, s32 result)
{
	struct record_header *header = &run->slot->header;
	u16 event = header->event;
	struct file *file;
	struct sock *sk;

	if (event == EVENT(security_file_open)) {
		u64 cut = header->REQUEST_CUT;

		/* A file that went to the ring's own table has no descriptor. */
		if (!request || BPF_CORE_READ((const struct io_open *)request, file_slot))
			return true;
		file = file_of_result(header, result);
		if (file && cut <= REQUEST_BYTES) {
			u64 once = BPF_CORE_READ((const struct io_open *)request, how.flags) & O_ONCE;

			run->slot->used = cut;
			if (put_opened_path(run, file, BPF_CORE_READ(file, f_flags) | once))
				put_opened_inode(run, file);
		}
		return true;
	}
	if (event == EVENT(socket_accept)) {
		file = file_of_result(header, result);
		sk = BPF_CORE_READ(socket_of_file(file), sk);
		if (!sk)
			return request != NULL;
		put_u32(run, FIELD(socket_accept, newfd), result);
		put_local(run, FIELD(socket_accept, local_addr), sk);
		put_remote(run, FIELD(socket_accept, remote_addr), sk);
		return true;
	}
	if (!request)
		return true;
	file = BPF_CORE_READ(request, file);
	if (event == EVENT(security_socket_connect)) {
		struct socket *sock = socket_of_file(file);

		/* The others are told by programs of their cgroup. */
		sk = BPF_CORE_READ(sock, sk);
		if (!sk || family_of(sk) != AF_UNIX)
			return false;
		put_u32(run, FIELD(security_socket_connect, type), BPF_CORE_READ(sock, type));
		put_remote(run, FIELD(security_socket_connect, remote_addr), sk);
	} else if (event == EVENT(security_socket_bind)) {
		sk = BPF_CORE_READ(socket_of_file(file), sk);
		if (sk)
			put_local(run, FIELD(security_socket_bind, local_addr), sk);
	} else if (event == EVENT(security_socket_listen)) {
		sk = BPF_CORE_READ(socket_of_file(file), sk);
		if (sk)
			put_local(run, FIELD(security_socket_listen, local_addr), sk);
	}
	return true;
}

/* `request` is NULL where the kernel does not say which has completed: one of a number, or one whose completion did not fit. */
static __always_inline void tell_completion(struct run *run, const struct request_key *key, const struct io_kiocb *request,
					    s32 result, u32 flags)
{
	struct request *kept = bpf_map_lookup_elem(&task_requests, key);
	bool more = flags & IORING_CQE_F_MORE;
	struct record_header *header;
	u32 used, slot;

	if (!kept || (request && kept->header.REQUEST_OF != (u64)request))
		return;
	if (flags & IORING_CQE_F_NOTIF || (request && result < 0)) {
		bpf_map_delete_elem(&task_requests, key);
		return;
	}
	if (!slot_claim(run))
		return;
	header = &run->slot->header;
	slot = header->slot;
	if (bpf_probe_read_kernel(header, sizeof(struct request), kept))
		return;
	used = header->length;
	if (used > REQUEST_BYTES)
		return;
	run->slot->used = used;
	header->slot = slot;
	header->time = bpf_ktime_get_boot_ns();
	header->probe = run->probe;
	header->cpu = run->cpu;
	if (put_result(run, request, result))
		submit(run);
	/* Nobody's result but the request's own. */
	if (request || header->event == EVENT(socket_accept)) {
		header->flags |= RECORD_RETURN;
		header->ret = result;
	} else {
		header->ret = 0;
	}
	if (!more)
		bpf_map_delete_elem(&task_requests, key);
}

SEC("tp/io_uring/io_uring_complete")
int uring_complete(struct trace_event_raw_io_uring_complete *ctx)
{
	struct request_key key = {.ctx = (u64)ctx->ctx, .user_data = ctx->user_data};

	RUN(uring_complete, tell_completion(&run, &key, ctx->req, ctx->res, ctx->cflags));
	return 0;
}

/* The ring of completions was full: the kernel keeps this one elsewhere. */
SEC("tp/io_uring/io_uring_cqe_overflow")
int uring_overflow(struct trace_event_raw_io_uring_cqe_overflow *ctx)
{
	struct request_key key = {.ctx = (u64)ctx->ctx, .user_data = ctx->user_data};

	RUN(uring_overflow, tell_completion(&run, &key, NULL, -1, 0));
	return 0;
}

/* A file that a request's open created. It leaves its trace in the file, so that nothing need be kept. */
static __always_inline void tell_created(struct run *run, const struct io_open *open, s32 fd)
{
	struct file *file;

	if (!HELPED(security_inode_create) || !open || fd < 0 || BPF_CORE_READ(open, file_slot))
		return;
	file = file_of_fd(current_task(), fd);
	if (!(BPF_CORE_READ(file, f_mode) & FMODE_CREATED) || !claim(run, EVENT(security_inode_create)))
		return;
	run->slot->header.flags |= RECORD_IO_URING;
	put_create(run, file);
	submit(run);
}

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct io_kiocb___op {
	u8 opcode;
};
#pragma clang attribute pop

SEC("tp/io_uring/io_uring_complete")
int uring_create(struct trace_event_raw_io_uring_complete *ctx)
{
	u8 op = BPF_CORE_READ((struct io_kiocb___op *)ctx->req, opcode);

	RUN(uring_create,
	    if (op == OP_OPENAT || op == OP_OPENAT2) tell_created(&run, ctx->req, ctx->res));
	return 0;
}

static __always_inline void tell_op(struct run *run, struct trace_event_raw_io_uring_submit_req *ctx)
{
	if (!claim(run, EVENT(io_uring_op)))
		return;
	run->slot->header.flags |= RECORD_IO_URING;
	put_u32(run, FIELD(io_uring_op, opcode), ctx->opcode);
	put_kernel_string(run, FIELD(io_uring_op, op), (const char *)ctx + (ctx->__data_loc_op_str & 0xffff));
	put_u32(run, FIELD(io_uring_op, flags), ctx->flags & 0xff);
	put_u32(run, FIELD(io_uring_op, fd), BPF_CORE_READ((struct io_kiocb *)ctx->req, cqe.fd));
	put_u64(run, FIELD(io_uring_op, user_data), ctx->user_data);
	put_u32(run, FIELD(io_uring_op, sq_thread), ctx->sq_thread);
	submit(run);
}

SEC("tp/io_uring/io_uring_submit_req")
int io_uring_op(struct trace_event_raw_io_uring_submit_req *ctx)
{
	RUN(io_uring_op, tell_op(&run, ctx));
	return 0;
}
