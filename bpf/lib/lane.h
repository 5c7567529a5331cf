/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Lanes, slots, rings, ledger: what makes the promise hold.
 *
 * A lane is a set of maps of its own. A run of a program counts itself as an attempt, claims a slot of its lane, fills the
 * record in it, copies it to the ring of its CPU and gives the slot back; it ends in exactly one of the outcomes below.
 */
#pragma once

/* One row of a lane's ledger: for one CPU and one program. A cache line. Mirrored in crates/sensor. */
enum outcome {
	ATTEMPTS = 0,
	FILTERED = 1,  /* nothing to tell, or not in scope */
	SUBMITTED = 2,
	RING_FULL = 3,
	SLOT_BUSY = 4,
	TOO_BIG = 5,
	STOLEN = 6,
	UNTRACKED = 7, /* no outcome of a run: state about a task that could not be kept */
	OUTCOMES = 8,
};

struct ledger_row {
	u64 count[OUTCOMES];
};

/* A path is put together from its end, here, before it is copied into the record. */
#define PATH_BYTES 4096
#define NAME_BYTES 256
#define COUNTED_NAMES 8192

/* Where putting a path together has come to (path.h). Here, not on a stack: of what is in a map the verifier follows no values. */
struct walk {
	struct dentry *dentry;
	struct vfsmount *mount;
	u32 position;  /* where the path begins in slot->path, filled towards 0 */
	u32 skip;      /* bytes of names still to be left out at the end */
	u32 length;    /* of the whole path */
	u32 overflow;  /* it did not fit */
	u32 top;       /* the walk came to the root */
	u32 slashless; /* a name outside of any tree: memfd:x */
	u32 nameless;  /* a file without a name: a pipe */
};

/* Where comparing a name of the caller's with a path has come to (caller.h). */
struct compare {
	u64 sum;
	u32 length; /* of the name */
	u32 end;    /* of the path, in slot->data */
	u32 last;   /* the last names are the same */
	u32 differs;
};

#define COMPARED_BYTES 16384

/* Where the walk up a user stack has come to (stack.h). */
struct unwind {
	struct frame_record mapping; /* the one at hand: its start, and the place of that in its file */
	u64 end;		     /* of that mapping */
	u64 address;		     /* of the next frame */
	u64 frame;		     /* the next frame pointer */
	u32 code;		     /* the mapping is executable, for all that is known */
	u32 compat;		     /* frames of 32 bits */
	u32 behind;		     /* of the next frame */
	u32 count;
	u32 whole; /* the chain came to its end */
};

/* Bytes of values that sieves compare (sieve.h): of numbers, addresses and names; of texts from their beginning, and from their end. */
#define SHORT_BYTES 16
#define LONG_BYTES 240
#define SUFFIX_BYTES 64

struct long_key {
	u32 bits; /* of what follows */
	u32 column;
	u8 bytes[LONG_BYTES];
};

/* Where sifting a record has come to (sieve.h). */
struct sieving {
	u64 classes;	     /* that may still be met */
	u32 at;		     /* the field at hand */
	u32 place;	     /* of the next column that asks of it, and 1; 0: none has asked yet */
	u32 known;	     /* a bit for each column of which there was a value */
	u32 asked;	     /* so many columns are passed over: asked before a slot was claimed, or not there yet */
	u64 end[SUFFIX_BYTES / 8]; /* of a text */
	struct long_key key;
};

#define MAX_SLOTS 8

struct slot {
	u64 owner; /* 0, or the token of the run that has it */
	u64 seq;
	u32 used;    /* bytes of data */
	u32 too_big; /* a field did not fit */
	u64 scratch; /* for forget() */
	struct walk walk;
	struct compare compare;
	struct unwind unwind;
	struct sieving sieving;
	u8 path[PATH_BYTES + NAME_BYTES];
	struct record_header header;
	u8 data[];
};

/* Packets of these kinds are captured. */
enum captured {
	CAPTURED_ALL = 1 << 0,
	CAPTURED_IPV4 = 1 << 1,
	CAPTURED_IPV6 = 1 << 2,
	CAPTURED_TCP = 1 << 3,
	CAPTURED_UDP = 1 << 4,
	CAPTURED_ICMP = 1 << 5,
	CAPTURED_ICMPV6 = 1 << 6,
	CAPTURED_DNS = 1 << 7,	/* over UDP, either port 53 */
	CAPTURED_HTTP = 1 << 8, /* connections, from their first head on */
};

/* Everything that user space decides before the programs are loaded. Mirrored in crates/sensor. */
struct config {
	u32 self;	  /* process left out, 0: none */
	u32 own;	  /* Tarsius itself */
	u32 slots;	  /* for each CPU, in each lane; at most MAX_SLOTS */
	u32 shards;	  /* rings of each lane */
	u32 wake;	  /* bytes waiting in a ring at which the reader is woken */
	s32 subsys;	  /* cgroup v1 subsystem whose cgroups tell containers apart, -1 for cgroup v2 */
	u32 environment;  /* 1: take env */
	u32 descriptor_paths; /* 1: take what the descriptors among a call's arguments stand for */
	u32 user_stack;	  /* 1: take user stacks */
	u32 limit;	  /* a record's fields may have so many bytes, if the slot has not less */
	u32 capture;	  /* bytes that are captured of what a packet carries, behind its headers */
	u32 captured;	  /* which packets are captured: enum captured */
	u32 unclaimed;	  /* 1: slots are used without a claim, as the controls of `tarsius torture` do */
	u32 extendable;	  /* 1: events may be wanted later: cfg_more_events */
	u8 events[EVENTS]; /* by INDEX_name: 1 if wanted */
};
const volatile struct config cfg;

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* clang-format off */
#define DEFINE_LANE(lane, bytes)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, 4);                                                               \
		__uint(value_size, sizeof(struct slot) + (bytes));                                 \
	} lane##_slots SEC(".maps");                                                               \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, 4);                                                               \
		__array(values, struct ring);                                                      \
	} lane##_rings SEC(".maps");                                                               \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, 4);                                                               \
		__uint(value_size, sizeof(struct ledger_row));                                     \
	} lane##_ledger SEC(".maps")
/* clang-format on */

/* Bytes for the fields: catalogue::Lane::slot_bytes. */
#define BYTES_life 100352
#define BYTES_task 26624
#define BYTES_net 8192
#define BYTES_bulk 67584

DEFINE_LANE(life, BYTES_life);
DEFINE_LANE(task, BYTES_task);
DEFINE_LANE(net, BYTES_net);
DEFINE_LANE(bulk, BYTES_bulk);

enum lane_number { NUMBER_life = 0, NUMBER_task = 1, NUMBER_net = 2, NUMBER_bulk = 3 };

/* Of a sieve (sieve.h): whatever may be wanted. */
#define ALL_CLASSES (~0ULL)

/* One run of a program. Lives in registers: every use is inlined. */
struct run {
	void *slots, *rings, *ledger;
	struct slot *slot; /* once claimed */
	u64 token;
	struct sieve *sieve; /* of the event, if it was asked whether it is in scope */
	u64 met; /* classes of the event's sieve that may be met by what the task is; ALL_CLASSES: not asked */
	u32 max; /* bytes of the slot's data */
	u32 cpu;
	u16 probe, probes;
	u8 lane;
	bool stack; /* its hook can tell the user stack, and send signals */
	bool denies; /* its hook can refuse the act */
	bool deny;   /* and does */
	bool only_denied; /* it is told only then */
	bool submit;
	enum outcome outcome;
};

#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)

#define RUN_OF_LANE_(program, lane_name)                                                                     \
	((struct run){.slots = &lane_name##_slots, .rings = &lane_name##_rings, .ledger = &lane_name##_ledger, \
		      .max = BYTES_##lane_name, .probe = PROBE_##program, .probes = PROBES_##lane_name,      \
		      .lane = NUMBER_##lane_name, .stack = STACK_##program, .denies = DENIES_##program, .met = ALL_CLASSES, .outcome = FILTERED})
#define RUN_OF_LANE(program, lane_name) RUN_OF_LANE_(program, lane_name)
/* A run of the program of that name in the catalogue. */
#define RUN_OF(program) RUN_OF_LANE(program, LANE_##program)

static __always_inline void ledger_count(const struct run *run, enum outcome outcome)
{
	u32 row = run->cpu * run->probes + run->probe;
	struct ledger_row *counts = bpf_map_lookup_elem(run->ledger, &row);

	/* Atomic, though the row is this CPU's alone: a preempted run may be half-way through the same addition. */
	if (counts)
		__sync_fetch_and_add(&counts->count[outcome], 1);
}

static __always_inline void run_begin(struct run *run)
{
	run->cpu = bpf_get_smp_processor_id();
	ledger_count(run, ATTEMPTS);
}

#ifdef LEGACY
/*
 * Kernels before 5.17. User space refuses to load this where tasks preempt programs (sensor::check): what interrupts a run ends before the run goes on,
 * so that between this read and this write the word can change and change back, but not stay changed.
 */
static __always_inline bool take(u64 *owner, u64 token)
{
	if (*(volatile u64 *)owner)
		return false;
	*(volatile u64 *)owner = token;
	return true;
}
#else
static __always_inline bool take(u64 *owner, u64 token)
{
	return __sync_val_compare_and_swap(owner, 0, token) == 0;
}
#endif

/*
 * Tells the run from every other that may be after the same slot. Programs on packets can not ask for the task before Linux 6.10,
 * and it would not tell them apart in an interrupt: the time does.
 */
static __always_inline u64 run_token(const struct run *run)
{
	if (run->lane >= NUMBER_net)
		return 1ULL << 63 | (u64)run->probe << 48 | (bpf_ktime_get_ns() & 0xffffffffffff);
	return 1ULL << 63 | (u64)run->probe << 32 | (u32)bpf_get_current_pid_tgid();
}

/* Claims a slot of this CPU for the run. Without one free, the run's outcome is SLOT_BUSY. */
static __always_inline bool slot_claim(struct run *run)
{
	u64 token = run_token(run);
	u32 base = run->cpu * cfg.slots;

	run->outcome = SLOT_BUSY;
	for (u32 i = 0; i < MAX_SLOTS; i++) {
		u32 index = base + i;
		struct slot *slot;

		if (i >= cfg.slots)
			return false;
		slot = bpf_map_lookup_elem(run->slots, &index);
		if (!slot)
			return false;
		/* The verifier sees the constant: a program that claims has nothing of the other case in it. */
		if (cfg.unclaimed)
			*(volatile u64 *)&slot->owner = token;
		if (cfg.unclaimed || take(&slot->owner, token)) {
			slot->used = 0;
			slot->too_big = 0;
			slot->header.slot = i;
			run->slot = slot;
			run->token = token;
			run->outcome = FILTERED;
			return true;
		}
	}
	return false;
}

/* Wakes the reader when this record makes the ring's fill cross the mark, and only then: a wakeup costs more than a record. */
static __always_inline u64 wake_flags(void *ring, u64 length)
{
	u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return waiting < cfg.wake && waiting + length >= cfg.wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline enum outcome slot_submit(struct run *run)
{
	struct slot *slot = run->slot;
	u32 used = *(volatile u32 *)&slot->used;
	u32 shard = run->cpu % cfg.shards;
	void *ring;
	long error;

	if (slot->too_big || used > run->max || used > cfg.limit)
		return TOO_BIG;
	if (!cfg.unclaimed && *(volatile u64 *)&slot->owner != run->token)
		return STOLEN;
	ring = bpf_map_lookup_elem(run->rings, &shard);
	if (!ring)
		return RING_FULL;
	slot->header.length = sizeof(struct record_header) + used;
	slot->header.seq = slot->seq++;
	error = bpf_ringbuf_output(ring, &slot->header, sizeof(struct record_header) + used,
				   wake_flags(ring, sizeof(struct record_header) + used));
	return error ? RING_FULL : SUBMITTED;
}

static __always_inline void put_user_stack(struct run *run);
static __always_inline bool is_wanted(struct run *run);

/* Ends a run: submits what is to be submitted, gives the slot back, counts the outcome. Every entry ends with it. */
static __always_inline void run_end(struct run *run)
{
	if (run->slot) {
		if (run->submit && is_wanted(run)) {
			/* The verifier sees the constant: without the option nothing of it is there. */
			if (cfg.user_stack)
				put_user_stack(run);
			run->outcome = slot_submit(run);
		}
		if (run->outcome != STOLEN)
			*(volatile u64 *)&run->slot->owner = 0;
	}
	ledger_count(run, run->outcome);
}

/*
 * The sum that a value in an LRU map carries over itself: the kernel gives the memory of an element that it evicts to another key at
 * once, while a reader of the first may be half-way through. A copy with another sum is not used.
 */
static __always_inline u64 sum_word(u64 sum, u64 word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15;
	return sum ^ sum >> 29;
}
