/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One process reaching into another, and memory that acts as a file. */

SYSCALL_EXIT(ptrace)
{
	if (!claim_call(run, call, EVENT(ptrace)))
		return;
	put_u64(run, FIELD(ptrace, request), call_argument(call, 0));
	put_u32(run, FIELD(ptrace, pid), call_argument(call, 1));
	put_u64(run, FIELD(ptrace, addr), call_argument(call, 2));
	put_u64(run, FIELD(ptrace, data), call_argument(call, 3));
	submit(run);
}

SYSCALL_EXIT(process_vm_writev)
{
	if (!claim_call(run, call, EVENT(process_vm_writev)))
		return;
	put_u32(run, FIELD(process_vm_writev, pid), call_argument(call, 0));
	put_u64(run, FIELD(process_vm_writev, local_iov), call_argument(call, 1));
	put_u64(run, FIELD(process_vm_writev, liovcnt), call_argument(call, 2));
	put_u64(run, FIELD(process_vm_writev, remote_iov), call_argument(call, 3));
	put_u64(run, FIELD(process_vm_writev, riovcnt), call_argument(call, 4));
	put_u64(run, FIELD(process_vm_writev, flags), call_argument(call, 5));
	submit(run);
}

/* What the kernel puts before the name. */
#define MEMFD_PREFIX "memfd:"
#define MEMFD_PREFIX_BYTES (sizeof(MEMFD_PREFIX) - 1)

SYSCALL_EXIT(memfd_create)
{
	const unsigned char *name = NULL;

	if (!claim_call(run, call, EVENT(memfd_create)))
		return;
	if (call->ret >= 0)
		name = name_of_file(file_of_fd(call->task, call->ret));
	/* Another thread may have put another file there meanwhile. */
	if (name && begins_with(name, MEMFD_PREFIX, MEMFD_PREFIX_BYTES))
		put_kernel_string(run, FIELD(memfd_create, uname), name + MEMFD_PREFIX_BYTES);
	else
		put_claimed_string(run, FIELD(memfd_create, uname), call_argument(call, 0));
	put_u32(run, FIELD(memfd_create, flags), call_argument(call, 1));
	submit(run);
}
