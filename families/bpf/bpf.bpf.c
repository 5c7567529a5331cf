/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* BPF programs of others. */

#define BPF_PROG_LOAD 5

/* How the kernel calls the file of a program, its NUL included. */
#define PROG_FILE "bpf-prog"

SYSCALL_EXIT(security_bpf_prog)
{
	struct bpf_prog *prog;
	struct file *file;

	if ((u32)call_argument(call, 0) != BPF_PROG_LOAD || call->ret < 0)
		return;
	if (!claim_call(run, call, EVENT(security_bpf_prog)))
		return;
	file = file_of_fd(call->task, call->ret);
	/* Another thread may have put another file there meanwhile: then only the load is known. */
	if (file && begins_with(name_of_file(file), PROG_FILE, sizeof(PROG_FILE))) {
		prog = BPF_CORE_READ(file, private_data);
		put_u32(run, FIELD(security_bpf_prog, type), BPF_CORE_READ(prog, type));
		put_kernel_string(run, FIELD(security_bpf_prog, name), BPF_CORE_READ(prog, aux)->name);
		put_u32(run, FIELD(security_bpf_prog, id), BPF_CORE_READ(prog, aux, id));
	}
	put_u32(run, FIELD(security_bpf_prog, load), 1);
	submit(run);
}
