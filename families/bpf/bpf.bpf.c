/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* BPF programs and maps of others, what they are attached to, and kprobes, which need no program. */

#include "helpers.h"

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

/* What the kernel keeps behind a descriptor of the current task, if it is such a file: another thread may have put another. */
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
	return answer(REFUSES(security_bpf__lsm, tell_bpf(&run, command)));
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
	return answer(REFUSES(security_bpf_map__lsm, tell_map(&run, map)));
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

/* Which helpers a program calls: a bit for each. */
struct helper_set {
	u64 bits[HELPERS / 64];
};

#ifndef LEGACY

#define SCAN_INSNS 512	/* in one piece: as many as the slot's room for a path holds */
#define SCAN_PIECES 128 /* what is behind is not looked at */
_Static_assert(SCAN_INSNS * 8 == PATH_BYTES && sizeof(struct helper_set) <= NAME_BYTES, "a piece, and behind it the set");

struct helper_scan {
	struct slot *slot;
	u64 insns;  /* in the memory of the current task */
	u32 count;
	u32 length; /* of the names put */
	u32 quality;
};

static __always_inline struct helper_set *set_of(struct slot *slot)
{
	return (struct helper_set *)&slot->path[PATH_BYTES];
}

static long scan_insn(u32 index, struct helper_scan *scan)
{
	struct slot *slot = scan->slot;
	u64 insn;
	u32 helper;

	if (!slot)
		return 1;
	insn = *(u64 *)&slot->path[(index & (SCAN_INSNS - 1)) * 8];
	helper = insn >> 32;
	/* A call (0x85) of a helper, not of a function of the program or the kernel (those have a source register). */
	if ((insn & 0xf0ff) == 0x85 && helper < HELPERS)
		set_of(slot)->bits[helper >> 6 & 3] |= 1ull << (helper & 63);
	return 0;
}

static long scan_piece(u32 index, struct helper_scan *scan)
{
	u32 from = index * SCAN_INSNS, left = scan->count - from;
	struct slot *slot = scan->slot;

	if (!slot || from >= scan->count)
		return 1;
	if (left > SCAN_INSNS)
		left = SCAN_INSNS;
	KEEP(left);
	if (left > SCAN_INSNS)
		return 1;
	if (bpf_probe_read_user(slot->path, left * 8, (const void *)scan->insns + (u64)from * 8)) {
		scan->quality = QUALITY_FAULTED;
		return 1;
	}
	bpf_loop(left, scan_insn, scan, 0);
	return 0;
}

/*
 * Finds the helpers that a program calls which is being loaded, into the slot's room for a path. The kernel rewrites the calls in
 * its copy, so it is the caller's that is read: another thread could have changed it since.
 */
static __noinline u32 scan_helpers(struct slot *slot, u64 attr)
{
	struct helper_scan scan = {.slot = slot, .quality = QUALITY_UNRESOLVED};

	if (!slot)
		return QUALITY_UNAVAILABLE;
	*set_of(slot) = (struct helper_set){};
	/* union bpf_attr of BPF_PROG_LOAD: type, count, address. */
	if (bpf_probe_read_user(&scan.count, sizeof(scan.count), (const void *)attr + 4) ||
	    bpf_probe_read_user(&scan.insns, sizeof(scan.insns), (const void *)attr + 8))
		return QUALITY_FAULTED;
	bpf_loop(SCAN_PIECES, scan_piece, &scan, 0);
	return scan.count > SCAN_PIECES * SCAN_INSNS && scan.quality == QUALITY_UNRESOLVED ? QUALITY_TRUNCATED : scan.quality;
}

#define HELPER_BYTES 8192

static long put_helper(u32 helper, struct helper_scan *scan)
{
	struct slot *slot = scan->slot;
	u32 used, length = scan->length;
	long read;

	if (!slot)
		return 1;
	if (!(set_of(slot)->bits[helper >> 6 & 3] >> (helper & 63) & 1))
		return 0;
	used = *(volatile u32 *)&slot->used;
	KEEP(used);
	KEEP(length);
	if (used > BYTES_task - FIELD_HEAD - HELPER_BYTES - HELPER_NAME_BYTES || length > HELPER_BYTES)
		return 1;
	read = bpf_probe_read_kernel_str(slot->data + used + FIELD_HEAD + length, HELPER_NAME_BYTES,
					 helper_names[helper & (HELPERS - 1)]);
	if (read > 1 && read <= HELPER_NAME_BYTES)
		scan->length = length + read;
	return 0;
}

/* The names of the helpers that stand in the slot's room. */
static __noinline int put_helpers_at(struct slot *slot, u32 index, u32 quality)
{
	struct helper_scan scan = {.slot = slot};
	u32 length;

	if (!slot)
		return 0;
	scan.length = forget(slot, 0);
	if (quality == QUALITY_UNRESOLVED || quality == QUALITY_TRUNCATED)
		bpf_loop(HELPERS, put_helper, &scan, 0);
	length = scan.length;
	KEEP(length);
	if (length > HELPER_BYTES + HELPER_NAME_BYTES)
		return 0;
	close_field(slot, BYTES_task, index, quality, length);
	return 0;
}

#endif

static __always_inline void put_helpers(struct run *run, u8 index, u64 attr)
{
#ifndef LEGACY
	put_helpers_at(run->slot, index, scan_helpers(run->slot, attr));
#endif
}

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
		struct pt_regs *regs = current_registers();
		struct call call = call_by_btf(regs, 0);

		if (CALL_IS(&call, bpf)) {
			bool load = (u32)forget(run->slot, call_argument(&call, 0)) == BPF_PROG_LOAD;

			put_u32(run, FIELD(security_bpf_prog, load), load);
			if (load)
				put_helpers(run, FIELD(security_bpf_prog, helpers), forget(run->slot, call_argument(&call, 1)));
		}
	}
#endif
	submit(run);
}

SEC("lsm/bpf_prog")
int BPF_PROG(security_bpf_prog__lsm, struct bpf_prog *prog)
{
	return answer(REFUSES(security_bpf_prog__lsm, tell_prog(&run, prog)));
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
	if (command == BPF_PROG_LOAD)
		put_helpers(run, FIELD(security_bpf_prog, helpers), call_argument(call, 1));
	submit(run);
}

/*
 * The helpers of loaded programs by the programs' ids, for when they are attached. An element that is evicted is given to another
 * id at once: hence the sum (sum_word).
 */
struct kept_helpers {
	struct helper_set set;
	u64 quality;
	u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct kept_helpers));
} task_bpf_helpers SEC(".maps");

static __always_inline u64 copy_helpers(struct kept_helpers *to, const struct kept_helpers *from, u32 id)
{
	u64 sum = id;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < HELPERS / 64; i++) {
		to->set.bits[i] = *(volatile u64 *)&from->set.bits[i];
		sum = sum_word(sum, to->set.bits[i]);
	}
	to->quality = *(volatile u64 *)&from->quality;
	return sum_word(sum, to->quality);
}

/* Nothing is told here: what can not be kept is unavailable later. */
SYSCALL_EXIT(bpf_helpers)
{
#ifndef LEGACY
	struct bpf_prog *prog;
	struct kept_helpers kept;
	u64 quality;
	u32 id;

	if ((u32)call_argument(call, 0) != BPF_PROG_LOAD || call->ret < 0)
		return;
	prog = BEHIND_FD(call->task, call->ret, PROG_FILE);
	if (!prog || !slot_claim(run))
		return;
	id = BPF_CORE_READ(prog, aux, id);
	quality = scan_helpers(run->slot, call_argument(call, 1));
	kept.set = *set_of(run->slot);
	kept.quality = quality;
	kept.sum = copy_helpers(&kept, &kept, id);
	bpf_map_update_elem(&task_bpf_helpers, &id, &kept, BPF_ANY);
#endif
}

/* ---- attachment ---- */

/* Values of attach_type: for raw tracepoints and what goes by perf as in Tracee, for the rest the kernel's number and 256. */
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

/* What was kept of a program when it was loaded; nothing if that was before Tarsius, or long ago. */
static __always_inline void put_kept_helpers(struct run *run, u32 id)
{
#ifndef LEGACY
	struct kept_helpers *kept = bpf_map_lookup_elem(&task_bpf_helpers, &id), copy;

	if (!kept || copy_helpers(&copy, kept, id) != *(volatile u64 *)&kept->sum)
		return;
	*set_of(run->slot) = copy.set;
	put_helpers_at(run->slot, FIELD(bpf_attach, prog_helpers), copy.quality);
#endif
}

static __always_inline void put_attached_prog(struct run *run, struct bpf_prog *prog)
{
	u32 id = BPF_CORE_READ(prog, aux, id);

	put_u32(run, FIELD(bpf_attach, prog_type), BPF_CORE_READ(prog, type));
	put_kernel_string(run, FIELD(bpf_attach, prog_name), BPF_CORE_READ(prog, aux)->name);
	put_u32(run, FIELD(bpf_attach, prog_id), id);
	put_kept_helpers(run, id);
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
