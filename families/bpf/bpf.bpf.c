/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* BPF programs and maps of others, what they are attached to, and kprobes, which need no program. */

/* include/uapi/linux/bpf.h */
enum bpf_cmd {
	BPF_MAP_CREATE = 0,
	BPF_PROG_LOAD = 5,
	BPF_OBJ_GET = 7,
	BPF_PROG_ATTACH = 8,
	BPF_PROG_GET_FD_BY_ID = 13,
	BPF_MAP_GET_FD_BY_ID = 14,
	BPF_RAW_TRACEPOINT_OPEN = 17,
	BPF_LINK_CREATE = 28,
};

/* How the kernel calls the files behind descriptors, the NUL included. */
#define PROG_FILE "bpf-prog"
#define MAP_FILE "bpf-map"
#define LINK_FILE "bpf_link"
#define PERF_FILE "[perf_event]"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_link {
	struct bpf_prog *prog;
};

struct tracepoint {
	const char *name;
};

struct bpf_raw_event_map {
	struct tracepoint *tp;
};

struct bpf_raw_tp_link {
	struct bpf_link link;
	struct bpf_raw_event_map *btp;
};

struct trace_event_call {
	union {
		char *name;
		struct tracepoint *tp;
	};
	int flags;
};

/* 5.15 and later: a flag was put in before those of kprobes and uprobes. */
struct trace_event_call___dynamic {
	void *module;
};

struct pmu {
	const char *name;
};

struct perf_event {
	struct pmu *pmu;
	struct trace_event_call *tp_event;
};

struct trace_probe_event {
	struct trace_event_call call;
	struct list_head probes;
};

struct trace_probe {
	struct list_head list;
};

struct kprobe {
	void *addr;
	const char *symbol_name;
	void *pre_handler, *post_handler;
};

struct kretprobe {
	struct kprobe kp;
	void *handler;
};

struct trace_kprobe {
	struct kretprobe rp;
	const char *symbol;
	struct trace_probe tp;
};

struct uprobe_consumer {
	void *ret_handler;
};

struct trace_uprobe {
	struct uprobe_consumer consumer;
	char *filename;
	unsigned long offset;
	struct trace_probe tp;
};

#pragma clang attribute pop

/* What the kernel keeps behind a descriptor of the current task, if it is such a file: another thread may have put another there. */
static __always_inline void *behind_fd(struct task_struct *task, s32 fd, const char *name, u32 length)
{
	struct file *file = file_of_fd(task, fd);

	if (!file || !begins_with(name_of_file(file), name, length))
		return NULL;
	return BPF_CORE_READ(file, private_data);
}
#define BEHIND_FD(task, fd, name) behind_fd(task, fd, name, sizeof(name))

/* ---- bpf(2) ---- */

static __always_inline void tell_bpf(struct run *run, u32 command)
{
	if (!claim(run, EVENT(security_bpf)))
		return;
	put_u32(run, FIELD(security_bpf, cmd), command);
	submit(run);
}

SEC("lsm/bpf")
int BPF_PROG(security_bpf__lsm, int command)
{
	RUN(security_bpf__lsm, tell_bpf(&run, command));
	return 0;
}

SEC("kprobe/security_bpf")
int BPF_KPROBE(security_bpf__kprobe, int command)
{
	RUN(security_bpf__kprobe, tell_bpf(&run, command));
	return 0;
}

SYSCALL_EXIT(security_bpf)
{
	if (!claim_call(run, call, EVENT(security_bpf)))
		return;
	put_u32(run, FIELD(security_bpf, cmd), call_argument(call, 0));
	submit(run);
}

/* ---- maps ---- */

static __always_inline void put_map(struct run *run, struct bpf_map *map)
{
	put_u32(run, FIELD(security_bpf_map, map_id), BPF_CORE_READ(map, id));
	put_kernel_string(run, FIELD(security_bpf_map, map_name), map->name);
}

static __always_inline void tell_map(struct run *run, struct bpf_map *map)
{
	if (!claim(run, EVENT(security_bpf_map)))
		return;
	put_map(run, map);
	submit(run);
}

SEC("lsm/bpf_map")
int BPF_PROG(security_bpf_map__lsm, struct bpf_map *map)
{
	RUN(security_bpf_map__lsm, tell_map(&run, map));
	return 0;
}

SEC("kprobe/security_bpf_map")
int BPF_KPROBE(security_bpf_map__kprobe, struct bpf_map *map)
{
	RUN(security_bpf_map__kprobe, tell_map(&run, map));
	return 0;
}

SYSCALL_EXIT(security_bpf_map)
{
	u32 command = call_argument(call, 0);
	struct bpf_map *map;

	if ((command != BPF_MAP_CREATE && command != BPF_MAP_GET_FD_BY_ID && command != BPF_OBJ_GET) || call->ret < 0)
		return;
	map = BEHIND_FD(call->task, call->ret, MAP_FILE);
	if ((!map && command == BPF_OBJ_GET) || !claim_call(run, call, EVENT(security_bpf_map)))
		return;
	if (map)
		put_map(run, map);
	submit(run);
}

/* ---- programs ---- */

static __always_inline void put_prog(struct run *run, struct bpf_prog *prog)
{
	put_u32(run, FIELD(security_bpf_prog, type), BPF_CORE_READ(prog, type));
	put_kernel_string(run, FIELD(security_bpf_prog, name), BPF_CORE_READ(prog, aux)->name);
	put_u32(run, FIELD(security_bpf_prog, id), BPF_CORE_READ(prog, aux, id));
}

static __always_inline void tell_prog(struct run *run, struct bpf_prog *prog)
{
	if (!claim(run, EVENT(security_bpf_prog)))
		return;
	put_prog(run, prog);
#ifndef LEGACY
	{
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs((void *)current_task());
		struct call call = call_by_btf(regs, 0);

		if (CALL_IS(&call, bpf))
			put_u32(run, FIELD(security_bpf_prog, load), (u32)call_argument(&call, 0) == BPF_PROG_LOAD);
	}
#endif
	submit(run);
}

SEC("lsm/bpf_prog")
int BPF_PROG(security_bpf_prog__lsm, struct bpf_prog *prog)
{
	RUN(security_bpf_prog__lsm, tell_prog(&run, prog));
	return 0;
}

SEC("kprobe/security_bpf_prog")
int BPF_KPROBE(security_bpf_prog__kprobe, struct bpf_prog *prog)
{
	RUN(security_bpf_prog__kprobe, tell_prog(&run, prog));
	return 0;
}

SYSCALL_EXIT(security_bpf_prog)
{
	u32 command = call_argument(call, 0);
	struct bpf_prog *prog;

	if ((command != BPF_PROG_LOAD && command != BPF_PROG_GET_FD_BY_ID && command != BPF_OBJ_GET) || call->ret < 0)
		return;
	prog = BEHIND_FD(call->task, call->ret, PROG_FILE);
	if ((!prog && command == BPF_OBJ_GET) || !claim_call(run, call, EVENT(security_bpf_prog)))
		return;
	if (prog)
		put_prog(run, prog);
	put_u32(run, FIELD(security_bpf_prog, load), command == BPF_PROG_LOAD);
	submit(run);
}

/* ---- attachment ---- */

/* Of the field attach_type: what perf and raw tracepoints are numbered by, as Tracee does; the rest is the kernel's own number, and this. */
enum attachment {
	ATTACH_RAW_TRACEPOINT = 0,
	ATTACH_TRACEPOINT = 1,
	ATTACH_KPROBE = 2,
	ATTACH_KRETPROBE = 3,
	ATTACH_UPROBE = 4,
	ATTACH_URETPROBE = 5,
	ATTACH_OTHER = 256,
};

#define PERF_EVENT_IOC_SET_BPF 0x40042408

#define BPF_PROG_TYPE_RAW_TRACEPOINT 17
#define BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE 24
#define BPF_PERF_EVENT 41

enum probe_kind { PROBE_NONE, PROBE_TRACEPOINT, PROBE_K, PROBE_U };

/* What kind of event a perf event is: of a tracepoint, or a probe, whether made by perf_event_open or by tracefs. */
static __always_inline enum probe_kind probe_kind(struct perf_event *event)
{
	const unsigned char *name = (const unsigned char *)BPF_CORE_READ(event, pmu, name);
	u32 flags = BPF_CORE_READ(event, tp_event, flags);
	/* TRACE_EVENT_FL_KPROBE and _UPROBE are of no enum that has a name. */
	u32 kprobe = bpf_core_field_exists(struct trace_event_call___dynamic, module) ? 1 << 6 : 1 << 5;

	if (begins_with(name, "kprobe", 7))
		return PROBE_K;
	if (begins_with(name, "uprobe", 7))
		return PROBE_U;
	if (!begins_with(name, "tracepoint", 11))
		return PROBE_NONE;
	if (flags & kprobe)
		return PROBE_K;
	return flags & kprobe << 1 ? PROBE_U : PROBE_TRACEPOINT;
}

/* The first probe of a perf event: of the kernel's struct trace_kprobe or trace_uprobe, at its member tp. */
static __always_inline void *first_probe(struct perf_event *event)
{
	struct trace_event_call *call = BPF_CORE_READ(event, tp_event);
	struct trace_probe_event *all = (void *)call - bpf_core_field_offset(struct trace_probe_event, call);

	return (void *)BPF_CORE_READ(all, probes.next) - bpf_core_field_offset(struct trace_probe, list);
}

static __always_inline struct trace_kprobe *kprobe_of(struct perf_event *event)
{
	return first_probe(event) - bpf_core_field_offset(struct trace_kprobe, tp);
}

static __always_inline void put_attached(struct run *run, u32 kind, const char *symbol, u64 address)
{
	put_u32(run, FIELD(bpf_attach, attach_type), kind);
	if (symbol)
		put_kernel_string(run, FIELD(bpf_attach, symbol_name), symbol);
	if (address)
		put_u64(run, FIELD(bpf_attach, symbol_addr), address);
}

static __always_inline void put_perf_target(struct run *run, struct perf_event *event)
{
	struct trace_event_call *call = BPF_CORE_READ(event, tp_event);

	switch (probe_kind(event)) {
	case PROBE_K:
		if (bpf_core_type_exists(struct trace_kprobe)) {
			struct trace_kprobe *probe = kprobe_of(event);

			put_attached(run, BPF_CORE_READ(probe, rp.handler) ? ATTACH_KRETPROBE : ATTACH_KPROBE,
				     BPF_CORE_READ(probe, symbol), (u64)BPF_CORE_READ(probe, rp.kp.addr));
		}
		break;
	case PROBE_U:
		if (bpf_core_type_exists(struct trace_uprobe)) {
			struct trace_uprobe *probe = first_probe(event) - bpf_core_field_offset(struct trace_uprobe, tp);

			put_attached(run, BPF_CORE_READ(probe, consumer.ret_handler) ? ATTACH_URETPROBE : ATTACH_UPROBE,
				     BPF_CORE_READ(probe, filename), BPF_CORE_READ(probe, offset));
		}
		break;
	case PROBE_TRACEPOINT:
		put_attached(run, ATTACH_TRACEPOINT, BPF_CORE_READ(call, tp, name), 0);
		break;
	default:
		/* Of a counter, say. */
		put_attached(run, ATTACH_OTHER + BPF_PERF_EVENT, NULL, 0);
	}
}

static __always_inline void put_attached_prog(struct run *run, struct bpf_prog *prog)
{
	put_u32(run, FIELD(bpf_attach, prog_type), BPF_CORE_READ(prog, type));
	put_kernel_string(run, FIELD(bpf_attach, prog_name), BPF_CORE_READ(prog, aux)->name);
	put_u32(run, FIELD(bpf_attach, prog_id), BPF_CORE_READ(prog, aux, id));
}

SYSCALL_EXIT(bpf_attach_perf)
{
	struct perf_event *event;
	struct bpf_prog *prog;

	if ((u32)call_argument(call, 1) != PERF_EVENT_IOC_SET_BPF || call->ret)
		return;
	event = BEHIND_FD(call->task, call_argument(call, 0), PERF_FILE);
	prog = BEHIND_FD(call->task, call_argument(call, 2), PROG_FILE);
	if (!event || !claim_call(run, call, EVENT(bpf_attach)))
		return;
	if (prog)
		put_attached_prog(run, prog);
	put_perf_target(run, event);
	submit(run);
}

/* union bpf_attr, as far as these commands fill it alike: a descriptor, another, a type. */
struct attach_attr {
	u32 first, second, type;
};

SYSCALL_EXIT(bpf_attach)
{
	u32 command = call_argument(call, 0), kind;
	struct attach_attr attr = {};
	struct bpf_prog *prog;
	struct bpf_link *link = NULL;
	const char *symbol;

	if ((command != BPF_PROG_ATTACH && command != BPF_RAW_TRACEPOINT_OPEN && command != BPF_LINK_CREATE) || call->ret < 0)
		return;
	bpf_probe_read_user(&attr, sizeof(attr), (const void *)call_argument(call, 1));
	if (command == BPF_PROG_ATTACH) {
		prog = BEHIND_FD(call->task, attr.second, PROG_FILE);
	} else {
		link = BEHIND_FD(call->task, call->ret, LINK_FILE);
		prog = BPF_CORE_READ(link, prog);
	}
	if (!claim_call(run, call, EVENT(bpf_attach)))
		return;
	if (prog)
		put_attached_prog(run, prog);
	if (command == BPF_LINK_CREATE && attr.type == BPF_PERF_EVENT) {
		struct perf_event *event = BEHIND_FD(call->task, attr.second, PERF_FILE);

		if (event)
			put_perf_target(run, event);
		submit(run);
		return;
	}
	symbol = BPF_CORE_READ(prog, aux, attach_func_name);
	kind = BPF_CORE_READ(prog, type);
	if (kind == BPF_PROG_TYPE_RAW_TRACEPOINT || kind == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE) {
		kind = ATTACH_RAW_TRACEPOINT;
		symbol = BPF_CORE_READ((struct bpf_raw_tp_link *)link, btp, tp, name);
	} else if (command == BPF_RAW_TRACEPOINT_OPEN) {
		kind = ATTACH_OTHER + BPF_CORE_READ(prog, expected_attach_type);
	} else {
		kind = ATTACH_OTHER + attr.type;
	}
	put_attached(run, kind, symbol, 0);
	submit(run);
}

/* ---- kprobes ---- */

static __always_inline void put_kprobe(struct run *run, struct kprobe *probe, const char *symbol)
{
	if (symbol)
		put_kernel_string(run, FIELD(kprobe_attach, symbol_name), symbol);
	put_u64(run, FIELD(kprobe_attach, symbol_addr), (u64)BPF_CORE_READ(probe, addr));
	put_u64(run, FIELD(kprobe_attach, pre_handler_addr), (u64)BPF_CORE_READ(probe, pre_handler));
	put_u64(run, FIELD(kprobe_attach, post_handler_addr), (u64)BPF_CORE_READ(probe, post_handler));
}

SEC("kprobe/register_kprobe")
int BPF_KPROBE(kprobe_attach__kprobe, struct kprobe *probe)
{
	struct run run = RUN_OF(kprobe_attach__kprobe);

	run_begin(&run);
	if (claim(&run, EVENT(kprobe_attach))) {
		put_kprobe(&run, probe, BPF_CORE_READ(probe, symbol_name));
		submit(&run);
	}
	run_end(&run);
	return 0;
}

SYSCALL_EXIT(kprobe_attach)
{
	struct perf_event *event;

	if (call->ret < 0 || !bpf_core_type_exists(struct trace_kprobe))
		return;
	event = BEHIND_FD(call->task, call->ret, PERF_FILE);
	if (!event || probe_kind(event) != PROBE_K || !claim_call(run, call, EVENT(kprobe_attach)))
		return;
	if (bpf_core_type_exists(struct trace_kprobe)) {
		struct trace_kprobe *probe = kprobe_of(event);

		put_kprobe(run, &probe->rp.kp, BPF_CORE_READ(probe, symbol));
	}
	submit(run);
}
