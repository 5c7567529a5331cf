/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * System calls, each as it was made and what came of it: one program for the entries of all of them, one for the exits. What a call's
 * arguments are, and what of the caller's memory they point to, stands in a table that user space fills from `syscalls.tsv`.
 *
 * What the kernel only reads is read at the entry, what it writes at the exit. A page of the caller's that was not in memory at the entry is
 * there once the kernel has read it: what faulted is read again at the exit, marked unresolved. In between, what was read at the entry is kept for the task: in
 * its entry of `task_calls` if that has room, else on a desk.
 */

#define MAX_ARGUMENTS 6

/* The first call of the 32-bit table that takes ids of 32 bits (setreuid32); those before it take 16. */
#define WIDE_IDS 203

/* At most this much of a buffer, a vector, or an array of structures is taken. */
#define BUFFER_BYTES 4096

/* How an argument is told. Mirrored in crates/sensor. */
enum argument_kind {
	ARGUMENT_32 = 1,
	ARGUMENT_64 = 2,
	ARGUMENT_SIGNED = 3, /* 64 bits, of which a 32-bit call gives 32 with their sign */
	ARGUMENT_ID = 4,     /* of a user or group: 16 bits in the older 32-bit calls */
	ARGUMENT_STRING = 5, /* in the caller's memory, up to a NUL */
	ARGUMENT_STRINGS = 6, /* pointers to such, up to a NULL */
	ARGUMENT_BYTES = 7,
	ARGUMENT_STRUCTURE = 8, /* as many bytes as the caller says, and `size` at most */
	ARGUMENT_PAIR = 9, /* 64 bits, which a 32-bit call gives in two registers, the lower half first */
	ARGUMENT_DESCRIPTOR = 10, /* 32 bits; `size` is the field for what it stands for, `least` 1 if that may be the current directory */
};

/* How many bytes, or elements of `size` bytes. */
enum argument_count {
	COUNT_ONE = 0,
	COUNT_RETURNED = 8,  /* as the return value says */
	COUNT_ARGUMENT = 16, /* as that register says: 16 to 21 */
	COUNT_POINTED = 32,  /* as stands where that register points: 32 to 37 */
	COUNT_SECOND = 8,    /* with COUNT_POINTED: as the second word there says: 40 to 45 */
};

struct argument {
	u8 kind;
	u8 written; /* 1: by the kernel, so that it is read at the exit */
	u8 count;
	u8 at; /* its register: 0 to 5 */
	u16 size;
	u16 least; /* of a structure: what 0 bytes stand for */
};

enum call_flags {
	CALL_NEVER_RETURNS = 1, /* told at the entry */
	CALL_MAKES_CHILD = 2,	/* whose return, with 0, is none of a call that it made */
	CALL_EXECUTES = 4,	/* the task may be in scope only afterwards */
};

/* A call that is asked for. Mirrored in crates/sensor. */
struct call_form {
	u16 event;
	u8 arguments; /* the duration is the field after them */
	u8 flags;
	u32 unused;
	struct argument argument[MAX_ARGUMENTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, CALLS);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct call_form));
} cfg_calls SEC(".maps");

#define KEPT_BYTES 256
#define NO_DESK 0xffffffff
/* Nothing is kept of the arguments: there was no room. */
#define NOTHING_KEPT 0xffffffff

/* A call that a task is in. */
struct kept_call {
	u64 start_time; /* of the task: what an oopsing one has left is nobody else's */
	u64 entered;
	u32 number;
	u32 used;
	u32 desk;
	u8 executes; /* a thread that executes takes its leader's number and start time */
	u8 late;     /* arguments, a bit for each, that could not be read at the entry */
	u16 unused;
	u8 bytes[KEPT_BYTES];
};

/* By the task's address, which is all of it that stays through an execution. Not an LRU map: that would drop an entry in use, and say nothing. What this one refuses is counted. User space sizes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 8);
	__uint(value_size, sizeof(struct kept_call));
} task_calls SEC(".maps");

/*
 * For what is more than KEPT_BYTES. A desk is a CPU's, as a slot is, and claimed there in the same way; but it stays with the task, which
 * gives it back where it is then.
 */
#define DESKS 16

struct desk {
	u64 owner;
	u8 bytes[BYTES_task];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct desk));
} task_desks SEC(".maps");

/* ---- the caller's memory ---- */

static __noinline int put_user_bytes_at(struct slot *slot, u32 max, u32 index, u64 from, u64 length)
{
	u32 quality = QUALITY_OK;
	u32 bytes = length;
	u8 *at;

	if (!slot)
		return 0;
	at = field_room(slot, max, BUFFER_BYTES + 4);
	if (!at)
		return 0;
	if (length > BUFFER_BYTES) {
		bytes = BUFFER_BYTES;
		quality = QUALITY_TRUNCATED;
	}
	KEEP(bytes);
	if (bytes > BUFFER_BYTES)
		return 0;
	if (!from) {
		bytes = 0;
		quality = QUALITY_UNAVAILABLE;
	} else if (bytes && bpf_probe_read_user(at + FIELD_HEAD, bytes, (const void *)from)) {
		bytes = 0;
		quality = QUALITY_FAULTED;
	}
	close_field(slot, max, index, quality, bytes);
	return 0;
}

/* ---- descriptors ---- */

/* Magic numbers of the file systems of files that are in no directory (uapi/linux/magic.h). */
#define PIPEFS_MAGIC 0x50495045
#define SOCKFS_MAGIC 0x534f434b
#define ANON_INODE_FS_MAGIC 0x09041934

static const char PIPE_NAME[] = "pipe:[%llu]";
static const char SOCKET_NAME[] = "socket:[%llu]";
static const char ANONYMOUS_NAME[] = "anon_inode:%s";
#define MOST_NAME 64

/* What the kernel calls such a file in /proc/PID/fd; false if it is in a directory. */
static __always_inline bool put_nameless(struct slot *slot, u32 max, u32 index, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);
	u64 value = BPF_CORE_READ(inode, i_ino);
	long length;
	u8 *at;

	if (magic != PIPEFS_MAGIC && magic != SOCKFS_MAGIC && magic != ANON_INODE_FS_MAGIC)
		return false;
	at = field_room(slot, max, MOST_NAME + 4);
	if (!at)
		return true;
	if (magic == PIPEFS_MAGIC) {
		length = bpf_snprintf((char *)at + FIELD_HEAD, MOST_NAME, PIPE_NAME, &value, sizeof(value));
	} else if (magic == SOCKFS_MAGIC) {
		length = bpf_snprintf((char *)at + FIELD_HEAD, MOST_NAME, SOCKET_NAME, &value, sizeof(value));
	} else {
		value = (u64)name_of_file(file);
		length = bpf_snprintf((char *)at + FIELD_HEAD, MOST_NAME, ANONYMOUS_NAME, &value, sizeof(value));
	}
	/* With its NUL. */
	if (length < 1 || length > MOST_NAME)
		close_field(slot, max, index, QUALITY_FAULTED, 0);
	else
		close_field(slot, max, index, QUALITY_OK, length - 1);
	return true;
}

/* What a descriptor stands for, in the form of /proc/PID/fd; unavailable if it stands for nothing. */
static __always_inline void put_descriptor(struct run *run, const struct call *call, const struct argument *argument, s32 fd, enum quality sure)
{
#ifndef LEGACY
	struct task_struct *task = call->task;
	u32 before = *(volatile u32 *)&run->slot->used;
	struct file *file;

	if (argument->least && fd == AT_FDCWD) {
		put_path_at(run->slot, run->max, argument->size, FROM_TASK(task, fs, pwd.dentry), FROM_TASK(task, fs, pwd.mnt));
	} else {
		file = file_of_fd(task, fd);
		if (!file)
			put_nothing(run, argument->size, QUALITY_UNAVAILABLE);
		else if (!put_nameless(run->slot, run->max, argument->size, file))
			put_file_path(run, argument->size, file);
	}
	mark_unsure(run, before, sure);
#endif
}

/* ---- arguments ---- */

/* When an argument is looked at. */
enum moment {
	AT_ENTRY = 0, /* all but what the kernel will write */
	AT_EXIT = 1,  /* what it has written, if the call has succeeded; what else is asked for comes too late */
	TOO_LATE = 2, /* what was not kept at the entry */
};

static __always_inline u64 signed_argument(const struct call *call, u64 value)
{
	return call->number >= COMPAT_BASE ? (u64)(s64)(s32)value : value;
}

static __always_inline u64 id_of(const struct call *call, u64 value)
{
	if (call->number < COMPAT_BASE || call->number >= COMPAT_BASE + WIDE_IDS)
		return (u32)value;
	value &= 0xffff;
	/* Of 16 bits, the highest stands for "keep it". */
	return value == 0xffff ? 0xffffffff : value;
}

/* The number of elements. */
static __always_inline u64 elements(const struct call *call, const struct argument *argument)
{
	u32 count = argument->count;
	u64 n = 1;

	if (count >= COUNT_POINTED) {
		u32 pointed = 0;
		u64 at = call_argument(call, count & 7) + (count & COUNT_SECOND ? sizeof(pointed) : 0);

		bpf_probe_read_user(&pointed, sizeof(pointed), (const void *)at);
		n = pointed;
	} else if (count >= COUNT_ARGUMENT) {
		n = call_argument(call, count - COUNT_ARGUMENT);
	} else if (count == COUNT_RETURNED) {
		n = call->ret;
		/* Of bytes, the next argument is the buffer's size: some calls return how much there would be. */
		if (argument->size == 1 && n > call_argument(call, argument->at + 1))
			n = call_argument(call, argument->at + 1);
	}
	if ((s64)n < 0)
		n = 0;
	return n > BUFFER_BYTES + 1 ? BUFFER_BYTES + 1 : n;
}

/* The bytes behind a pointer. */
static __always_inline u64 length_of(const struct call *call, const struct argument *argument)
{
	u64 n = elements(call, argument);

	if (argument->kind != ARGUMENT_STRUCTURE)
		return n * argument->size;
	if (!n)
		n = argument->least;
	return n < argument->size ? n : argument->size;
}

static __always_inline void put_argument(struct run *run, const struct call *call, const struct argument *argument, u32 i, u32 moment)
{
	u64 value = forget(run->slot, call_argument(call, argument->at));

	switch (argument->kind) {
	case ARGUMENT_32:
		put_u32(run, i, value);
		break;
	case ARGUMENT_64:
		put_u64(run, i, value);
		break;
	case ARGUMENT_SIGNED:
		put_u64(run, i, signed_argument(call, value));
		break;
	case ARGUMENT_ID:
		put_u32(run, i, id_of(call, value));
		break;
	case ARGUMENT_PAIR:
		put_u64(run, i, (u32)value | call_argument(call, argument->at + 1) << 32);
		break;
	case ARGUMENT_DESCRIPTOR:
		put_u32(run, i, value);
		if (cfg.descriptor_paths)
			put_descriptor(run, call, argument, value, moment == AT_ENTRY ? sure_of_fd(call->task) : QUALITY_UNRESOLVED);
		break;
	case ARGUMENT_STRING:
		if (!value)
			put_nothing(run, i, QUALITY_UNAVAILABLE);
		else
			put_user_string(run, i, value);
		break;
	case ARGUMENT_STRINGS:
		put_user_strings_at(run->slot, run->max, i, value, call->number >= COMPAT_BASE ? 4 : 8);
		break;
	case ARGUMENT_BYTES:
	case ARGUMENT_STRUCTURE:
		put_user_bytes_at(run->slot, run->max, i, value, length_of(call, argument));
		break;
	}
}

/* In the caller's memory, which may have changed since the call was made. */
static __always_inline bool is_in_memory(const struct argument *argument)
{
	return argument->kind >= ARGUMENT_STRING && argument->kind <= ARGUMENT_STRUCTURE;
}

/* Where putting the arguments of a call has come to. */
struct arguments {
	struct slot *slot;
	const struct call_form *form;
	struct call call;
	u32 moment; /* enum moment */
	u32 which;  /* a bit for each that is put, of those that the kernel does not write */
	u32 late;   /* those that could not be read, and were left out */
};

/* What one step has found, verifiers before Linux 5.17 would keep apart in all that follow. */
static __always_inline void forget_what_was_found(struct slot *slot, struct arguments *arguments)
{
	arguments->call.number = forget(slot, arguments->call.number);
	arguments->call.ret = forget(slot, arguments->call.ret);
	arguments->moment = forget(slot, arguments->moment);
	arguments->which = forget(slot, arguments->which);
	arguments->late = forget(slot, arguments->late);
}

static long argument_step(u32 i, struct arguments *arguments)
{
	struct run run = {.slot = arguments->slot, .max = CONCAT(BYTES_, LANE_syscall)};
	const struct call_form *form = arguments->form;
	const struct argument *argument;
	u32 before, moment;

	if (!run.slot || !form || i >= MAX_ARGUMENTS || i >= form->arguments)
		return 1;
	argument = &form->argument[i];
	forget_what_was_found(run.slot, arguments);
	moment = arguments->moment;
	if (argument->written ? moment != AT_EXIT || arguments->call.ret < 0 : !(arguments->which >> i & 1))
		return 0;
	if (moment == AT_EXIT && !argument->written)
		moment = TOO_LATE;
	before = *(volatile u32 *)&run.slot->used;
	put_argument(&run, &arguments->call, argument, i, moment);
	if (moment == AT_ENTRY && take_back_faulted(&run, before))
		arguments->late |= 1 << i;
	if (moment == TOO_LATE && is_in_memory(argument))
		mark_unsure(&run, before, QUALITY_UNRESOLVED);
	return 0;
}

/*
 * Puts those arguments of which `which` has a bit, and at the exit what the kernel has written. At the entry, gives those that could not be read,
 * which are left out. A step for each, that the verifier sees once: six in a row were two thirds of the time in which `watch -e openat` was
 * ready, in an emulated guest. Verifiers before Linux 5.17 see each, at each place where this is called: a program does so once for what it tells.
 */
static __noinline u32 put_arguments(struct slot *slot, const struct call *call, const struct call_form *form, u32 moment, u32 which)
{
	struct arguments arguments = {.slot = slot, .form = form, .call = *call};

	if (!slot)
		return 0;
	arguments.moment = forget(slot, moment);
	arguments.which = forget(slot, which);
	arguments.late = forget(slot, 0);
#ifdef LEGACY
	for (u32 i = 0; i < MAX_ARGUMENTS; i++)
		if (argument_step(i, &arguments))
			break;
#else
	bpf_loop(MAX_ARGUMENTS, argument_step, &arguments, 0);
#endif
	return arguments.late;
}

#define ALL_ARGUMENTS ((1 << MAX_ARGUMENTS) - 1)

/* Where asking of a call's arguments has come to. */
struct asking {
	struct sieve *sieve;
	const struct call_form *form;
	struct call call;
	u64 classes;
	struct short_key key;
};

/* Asks by one column, if it is of an argument that is a number. */
static long ask_argument(u32 i, struct asking *asking)
{
	struct sieve *sieve = asking->sieve;
	const struct call_form *form = asking->form;
	const struct argument *argument;
	struct column *column;
	u64 value, *found;

	if (!sieve || !form || i >= COLUMNS || i >= sieve->columns)
		return 1;
	column = &sieve->column[i];
	if (i < sieve->heads || column->at || column->field >= MAX_ARGUMENTS || column->field >= form->arguments)
		return 0;
	argument = &form->argument[column->field];
	value = call_argument(&asking->call, argument->at);
	switch (argument->kind) {
	case ARGUMENT_64:
		break;
	case ARGUMENT_32:
	case ARGUMENT_DESCRIPTOR:
		value = (u32)value;
		break;
	case ARGUMENT_SIGNED:
		value = signed_argument(&asking->call, value);
		break;
	case ARGUMENT_ID:
		value = id_of(&asking->call, value);
		break;
	default:
		return 0;
	}
	switch (column->kind) {
	case KIND_U32:
	case KIND_U64:
		break;
	case KIND_I32:
		value = ordered((s32)value);
		break;
	case KIND_I64:
		value = ordered(value);
		break;
	default:
		return 0;
	}
	*(u64 *)asking->key.bytes = bpf_cpu_to_be64(value & column->mask);
	asking->key.column = column->number;
	found = bpf_map_lookup_elem(&cfg_short_prefixes, &asking->key);
	asking->classes &= found ? *found : column->others;
	return !asking->classes;
}

/*
 * Of the classes that may be met by who calls, those that may be by the arguments that are numbers: they are in registers, and decide before
 * there is a record. ALL_CLASSES: nothing was asked of who calls, and the record is asked everything.
 */
static __noinline u64 classes_of_arguments(struct sieve *sieve, const struct call *call, const struct call_form *form, u64 classes)
{
	struct asking asking = {
		.sieve = sieve, .form = form, .call = *call, .classes = classes, .key.bits = 8 * (sizeof(u32) + sizeof(u64))};

	if (!sieve || !form || classes == ALL_CLASSES || sieve->columns == sieve->heads)
		return classes;
	bpf_loop(COLUMNS, ask_argument, &asking, 0);
	return asking.classes;
}

/* The call is in scope, and may be wanted for its arguments. */
static __always_inline bool call_is_wanted(struct run *run, const struct call *call, const struct call_form *form, bool returned)
{
	if (!(returned ? call_in_scope(run, call, form->event) : entry_in_scope(run, call, form->event)))
		return false;
#ifdef LEGACY
	/* Verifiers of that time would walk each round for itself: the record is asked. */
	return true;
#else
	return classes_of_arguments(run->sieve, call, form, run->met);
#endif
}

/* ---- entry ---- */

static __always_inline struct desk *claim_desk(struct run *run, u32 *number)
{
	u64 token = run_token(run);

	for (u32 i = 0; i < DESKS; i++) {
		u32 index = run->cpu * DESKS + i;
		struct desk *desk = bpf_map_lookup_elem(&task_desks, &index);

		if (!desk)
			return NULL;
		if (take(&desk->owner, token)) {
			*number = index;
			return desk;
		}
	}
	return NULL;
}

static __always_inline void leave_desk(u32 number)
{
	struct desk *desk = number == NO_DESK ? NULL : bpf_map_lookup_elem(&task_desks, &number);

	if (desk)
		*(volatile u64 *)&desk->owner = 0;
}

/* Keeps what is in the slot for the call's exit. */
static __always_inline void keep_call(struct run *run, const struct call *call, u8 flags, u8 late)
{
	struct slot *slot = run->slot;
	/* Put together in memory that paths are put together in otherwise. */
	struct kept_call *kept = (struct kept_call *)slot->path;
	u64 key = bpf_get_current_task();
	struct kept_call *left = bpf_map_lookup_elem(&task_calls, &key);
	u32 used = *(volatile u32 *)&slot->used;

	KEEP(used);
	kept->start_time = FROM_TASK(call->task, start_boottime);
	kept->entered = bpf_ktime_get_boot_ns();
	kept->number = call->number;
	kept->used = used;
	kept->desk = NO_DESK;
	kept->executes = flags & CALL_EXECUTES;
	kept->late = late;
	/* Of a call that never came to its exit, by this task or by one that had its address. */
	if (left)
		leave_desk(left->desk);
	if (slot->too_big || used > BYTES_task) {
		kept->used = NOTHING_KEPT;
		ledger_count(run, UNTRACKED);
	} else if (used <= KEPT_BYTES) {
		bpf_probe_read_kernel(kept->bytes, KEPT_BYTES, slot->data);
	} else {
		u32 number = NO_DESK;
		struct desk *desk = claim_desk(run, &number);

		if (desk) {
			bpf_probe_read_kernel(desk->bytes, used, slot->data);
			kept->desk = number;
		} else {
			kept->used = NOTHING_KEPT;
			ledger_count(run, UNTRACKED);
		}
	}
	if (bpf_map_update_elem(&task_calls, &key, kept, BPF_ANY)) {
		ledger_count(run, UNTRACKED);
		leave_desk(kept->desk);
	}
}

SYSCALL_ENTER(syscall_entry)
{
	u32 number = call->number;
	struct call_form *form = bpf_map_lookup_elem(&cfg_calls, &number);
	bool told; /* here: it never returns */
	u32 late;

	if (!form || !form->event)
		return;
	told = form->flags & CALL_NEVER_RETURNS;
	if (told) {
		if (!claim_entry(run, call, form->event))
			return;
	} else {
		if (!(form->flags & CALL_EXECUTES) && !call_is_wanted(run, call, form, false))
			return;
		if (!slot_claim(run))
			return;
	}
	late = put_arguments(run->slot, call, form, told ? TOO_LATE : AT_ENTRY, ALL_ARGUMENTS);
	if (told)
		submit(run);
	else
		keep_call(run, call, form->flags, late);
}

/* ---- exit ---- */

/* Puts back into the slot what was kept at the entry. */
static __always_inline bool restore_call(struct run *run, const struct kept_call *kept)
{
	struct slot *slot = run->slot;
	u32 used = kept->used, number = kept->desk;

	KEEP(used);
	if (number != NO_DESK) {
		struct desk *desk = bpf_map_lookup_elem(&task_desks, &number);

		if (!desk || used > BYTES_task)
			return false;
		bpf_probe_read_kernel(slot->data, used, desk->bytes);
	} else {
		if (used > KEPT_BYTES)
			return false;
		bpf_probe_read_kernel(slot->data, KEPT_BYTES, kept->bytes);
	}
	slot->used = used;
	return true;
}

/* Puts what was kept at the entry; gives those arguments that it does not have, and that can be read at the exit. */
static __always_inline u32 put_kept_arguments(struct run *run, const struct call *call, const struct kept_call *kept)
{
	if (!kept || !restore_call(run, kept))
		return ALL_ARGUMENTS;
	if (!kept->executes || call->ret < 0)
		return kept->late;
	/* Of a program that was executed, the memory is another now. */
	for (u32 i = 0; i < MAX_ARGUMENTS; i++)
		if (kept->late >> i & 1)
			put_nothing(run, i, QUALITY_FAULTED);
	return 0;
}

SYSCALL_EXIT(syscall)
{
	u64 key = bpf_get_current_task();
	struct kept_call *kept = bpf_map_lookup_elem(&task_calls, &key);
	struct call made = *call;
	struct call_form *form;
	u32 number, desk = NO_DESK;

	if (kept && !kept->executes && kept->start_time != FROM_TASK(call->task, start_boottime))
		kept = NULL;
	/* A call that executes a program comes back under the number of execve. */
	if (kept)
		made.number = kept->number;
	number = made.number;
	form = bpf_map_lookup_elem(&cfg_calls, &number);
	if (!form || !form->event)
		return;
	if (!kept && form->flags & CALL_MAKES_CHILD && call->ret == 0)
		return;
	if (call_is_wanted(run, &made, form, true) && claim_record(run, &made, form->event)) {
		u32 missing = put_kept_arguments(run, &made, kept);

		if (missing || call->ret >= 0)
			put_arguments(run->slot, &made, form, AT_EXIT, missing);
		if (kept)
			put_u64(run, form->arguments, run->slot->header.time - kept->entered);
		submit(run);
	}
	/* Or the compiler looks at the answer that it had before, and the verifier does not see that it is about this pointer. */
	KEEP(kept);
	if (kept) {
		desk = kept->desk;
		bpf_map_delete_elem(&task_calls, &key);
		leave_desk(desk);
	}
}
