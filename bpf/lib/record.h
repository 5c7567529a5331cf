/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What stands in a record: this header, then fields. crates/event mirrors it (`header.rs`); the sizes are asserted on both sides.
 *
 *   field := index:u8 quality:u8 length:u16 payload[length] padding to a multiple of 4
 */
#pragma once

#define COMM_BYTES 16

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

/* Whose identity the header carries. */
enum origin {
	ORIGIN_CURRENT = 0, /* the task that ran when the event happened */
	ORIGIN_OWNER = 1,   /* the owner of the socket: the event happened in an interrupt or on another's behalf */
	ORIGIN_UNKNOWN = 2, /* nobody's: what is zero is not known */
	ORIGIN_LISTENER = 3, /* the owner of the listening socket that the connection came to: nobody has accepted it yet */
};

enum record_flags {
	RECORD_COMPAT = 1 << 0,	 /* by a 32-bit system call */
	RECORD_RETURN = 1 << 1,	 /* ret is a return value */
	RECORD_KTHREAD = 1 << 2, /* by a kernel thread */
	RECORD_SYSCALL = 1 << 3, /* syscall is a number */
	RECORD_IN_TREE = 1 << 4, /* by a task that is in every tree that it must be in */
	RECORD_IO_URING = 1 << 5, /* by a request in a ring of io_uring */
	RECORD_KILLED = 1 << 6,	  /* a policy had the process killed, before it could go on */
	RECORD_DENIED = 1 << 7,	  /* a policy had the act refused */
};

enum quality {
	QUALITY_OK = 0,
	QUALITY_TRUNCATED = 1,
	QUALITY_FAULTED = 2,
	QUALITY_UNAVAILABLE = 3,
	QUALITY_UNRESOLVED = 4,
};

struct record_header {
	u64 time;	    /* boot clock, ns: when the run began */
	u64 seq;	    /* of this slot, from 0, no hole but where the ring was full */
	u32 length;	    /* of the whole record */
	u16 event;	    /* number in the catalogue */
	u16 probe;	    /* row in the lane's ledger */
	u8 lane;
	u8 slot;
	u8 origin;
	u8 flags;
	u32 cpu;
	/* who */
	u64 start_time;	       /* of the thread; boot clock, ns */
	u64 leader_start_time; /* of the process */
	u64 parent_start_time; /* of the parent process */
	u64 cgroup;	       /* in the hierarchy where containers are told apart */
	u32 pid, tid, ppid;
	u32 ns_pid, ns_tid, ns_ppid; /* the same in the task's own pid namespace */
	u32 uid, gid, euid, egid;
	u32 mnt_ns, pid_ns, net_ns, uts_ns, ipc_ns, user_ns, cgroup_ns;
	s32 syscall;
	char comm[COMM_BYTES];
	u64 exec_id; /* grows with each program that the task executes; a new task's is its maker's */
	s64 ret;
};
_Static_assert(sizeof(struct record_header) == 168, "crates/event mirrors this layout");

/* Payload of a `cred` field. */
struct cred_record {
	u32 uid, gid, suid, sgid, euid, egid, fsuid, fsgid;
	u32 user_ns, securebits;
	u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
};
_Static_assert(sizeof(struct cred_record) == 80, "crates/event mirrors this layout");

/* What is mapped at the address of a frame. */
enum frame_memory {
	MEMORY_UNKNOWN = 0,   /* the mappings were being changed, so it could not be looked at */
	MEMORY_FILE = 1,      /* a file: offset, inode, ctime and dev say which, and where in it */
	MEMORY_ANONYMOUS = 2, /* no file: code that was made while running, or the kernel's own (vdso) */
	MEMORY_NONE = 3,      /* nothing, or what is not code */
};

/* The field of user stacks, which any record may have: its payload is frames, the innermost first. */
#define USER_STACK 255
#define STACK_FRAMES 32 /* a power of two */

struct frame_record {
	u64 address;
	u64 offset; /* in the file */
	u64 inode;
	u64 ctime;
	u32 dev;
	u16 memory; /* enum frame_memory */
	u16 behind; /* the address is behind the instruction at hand: a call */
};
_Static_assert(sizeof(struct frame_record) == 40, "crates/event mirrors this layout");

enum packet_direction {
	PACKET_INGRESS = 1,
	PACKET_EGRESS = 3, /* as Tracee numbers it */
};

/* Payload of a `packet` field. Addresses in network order, IPv4 in the first 4 bytes; ports in host order. */
struct packet_record {
	u8 family; /* AF_INET or AF_INET6 */
	u8 protocol;
	u8 direction;
	u8 encapsulation; /* 0 here: user space says of a packet in what other one it found it */
	u16 src_port, dst_port;
	u32 length; /* of the packet from its IP header */
	u32 ifindex;
	u8 src[16], dst[16];
};
_Static_assert(sizeof(struct packet_record) == 48, "crates/event mirrors this layout");
