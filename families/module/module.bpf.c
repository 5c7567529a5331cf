/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Kernel modules. */

static __always_inline void tell_module(struct run *run, const char *name, const char *version, const char *src_version)
{
	if (!claim(run, EVENT(module_load)))
		return;
	put_kernel_string(run, FIELD(module_load, name), name);
	/* Few modules state these. */
	if (version)
		put_kernel_string(run, FIELD(module_load, version), version);
	if (src_version)
		put_kernel_string(run, FIELD(module_load, src_version), src_version);
	submit(run);
}

SEC("tp_btf/module_load")
int BPF_PROG(module_load__btf, struct module *module)
{
	RUN(module_load__btf,
	    tell_module(&run, module->name, BPF_CORE_READ(module, version), BPF_CORE_READ(module, srcversion)));
	return 0;
}

SEC("tp/module/module_load")
int module_load__perf(struct trace_event_raw_module_load *ctx)
{
	RUN(module_load__perf, tell_module(&run, (const char *)ctx + (ctx->__data_loc_name & 0xffff), NULL, NULL));
	return 0;
}
