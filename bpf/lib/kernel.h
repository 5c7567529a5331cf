/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types, as far as the programs read them. Only names count: CO-RE finds the offsets of the running kernel. What
 * changed its name over time stands here once for each form, with the version that brought it.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef short __s16;
typedef u16 __be16;
typedef u32 __be32;
typedef u64 __be64;
typedef u32 __wsum;
typedef _Bool bool;
typedef int pid_t;
typedef u32 dev_t;
typedef u16 umode_t;
#define true 1
#define false 0
#define NULL ((void *)0)

/* Numbers of the user-visible interface, as far as they are used. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_RDONLY_PROG = 1 << 7,
	BPF_F_CLONE = 1 << 9,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

/* The types that programs of the net lane get as their context; not relocated, they are part of the interface. */
struct bpf_sock {
	u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
	__be16 dst_port;
	u16 unused;
	u32 dst_ip4, dst_ip6[4], state;
	s32 rx_queue_mapping;
};

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len, gso_segs;
	struct bpf_sock *sk;
	u32 gso_size;
};

struct bpf_sock_ops {
	u32 op, args[4], family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
	__be32 remote_port; /* in its upper half on little-endian machines */
	u32 local_port, is_fullsock, snd_cwnd, srtt_us, bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh;
	u32 rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered, rate_interval_us, packets_out;
	u32 retrans_out, total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out, sk_txhash;
	u64 bytes_received, bytes_acked;
	struct bpf_sock *sk;
};

struct bpf_sock_addr {
	u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
	struct bpf_sock *sk;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};

struct timezone {
	int tz_minuteswest, tz_dsttime;
};

struct ns_common {
	unsigned int inum;
};

struct user_namespace {
	struct ns_common ns;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct pid_namespace {
	struct ns_common ns;
};
struct uts_namespace {
	struct ns_common ns;
};
struct ipc_namespace {
	struct ns_common ns;
};
struct net {
	struct ns_common ns;
};
struct cgroup_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct cgroup_namespace *cgroup_ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

/* Two words or one (6.3): 8 bytes either way, read as such. */
typedef struct {
	u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kgid_t sgid;
	kuid_t euid;
	kgid_t egid;
	kuid_t fsuid;
	kgid_t fsgid;
	unsigned int securebits;
	kernel_cap_t cap_inheritable;
	kernel_cap_t cap_permitted;
	kernel_cap_t cap_effective;
	kernel_cap_t cap_bset;
	kernel_cap_t cap_ambient;
	struct user_namespace *user_ns;
};

struct qstr {
	u32 len;
	const unsigned char *name;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	dev_t s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct inode {
	umode_t i_mode;
	unsigned int i_nlink;
	s64 i_size;
	struct super_block *i_sb;
	unsigned long i_ino;
	dev_t i_rdev;
	struct fsnotify_mark_connector *i_fsnotify_marks;
};
/* 6.11 and later */
struct inode___seconds {
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
};
/* 6.6 to 6.10 */
struct inode___private {
	struct timespec64 __i_ctime;
};
/* before 6.6 */
struct inode___plain {
	struct timespec64 i_ctime;
};

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

/* of the module overlay, if it is loaded or built in */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	unsigned int f_mode;
	s64 f_pos;
	void *private_data;
};

/* 6.5 and later: what a stacking file system (overlay) opens below itself, and maps. */
struct backing_file {
	struct file file;
	struct path user_path;
};

struct address_space;

struct page {
	struct address_space *mapping; /* none of a pipe's own pages */
	unsigned long index;
};

struct pipe_buffer {
	struct page *page;
	unsigned int offset, len, flags;
};

struct pipe_inode_info {
	unsigned int head, tail, ring_size;
	struct pipe_buffer *bufs;
};

/* What is watched for inotify, fanotify and fcntl: a group's marks, each on an object by its connector. */
struct fsnotify_mark_connector {
	void *obj; /* the inode; before 6.10 where the inode has its connector */
};

struct fsnotify_mark {
	struct list_head g_list;
	struct fsnotify_mark_connector *connector;
};

struct inotify_inode_mark {
	struct fsnotify_mark fsn_mark;
	int wd;
};

struct fsnotify_group {
	struct list_head marks_list;
};

struct iov_iter {
	unsigned long count;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct {
		int counter;
	} count;
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

typedef struct {
	void *vdso;
} mm_context_t;

struct mm_struct {
	struct file *exe_file;
	unsigned long start_brk, brk, start_stack;
	unsigned long arg_start, arg_end, env_start, env_end;
	unsigned long saved_auxv[1];
	mm_context_t context;
};

struct vm_area_struct {
	unsigned long vm_start, vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

struct kernfs_node {
	u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct rlimit {
	unsigned long rlim_cur, rlim_max;
};

struct tty_struct {
	char name[64];
};

struct signal_struct {
	int group_exit_code;
	struct tty_struct *tty;
	struct rlimit rlim[16];
	struct {
		int counter;
	} live;
};

struct thread_info {
	u32 status; /* x86 */
	unsigned long flags;
};

struct filename {
	const char *name;
};

/* What a path is walked by (fs/namei.c). */
struct nameidata {
	struct filename *name;
};

/* Workers of io_uring (io_uring/io-wq.c): each works for the task that submits. */
struct io_wq {
	struct task_struct *task;
};
struct io_worker {
	struct io_wq *wq;
};
/* before 6.4 */
struct io_wqe {
	struct io_wq *wq;
};
struct io_worker___divided {
	struct io_wqe *wqe;
};


typedef struct {
	u64 sig;
} sigset_t;

struct sigaction {
	void *sa_handler;
	unsigned long sa_flags;
	sigset_t sa_mask;
};

struct k_sigaction {
	struct sigaction sa;
};

struct sighand_struct {
	struct k_sigaction action[64];
};

/* What the C library hangs a thread's data on: x86, then arm64. */
struct thread_struct {
	unsigned long fsbase;
};
struct thread_struct___arm64 {
	struct {
		unsigned long tp_value;
	} uw;
};

struct completion;

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	struct mm_struct *mm;
	int exit_code;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	u64 start_boottime;
	u64 self_exec_id;
	void *worker_private;
	const struct cred *real_cred;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct nameidata *nameidata;
	kuid_t loginuid; /* and the next: where the kernel has auditing */
	unsigned int sessionid;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	struct css_set *cgroups;
	unsigned in_execve : 1;
	struct completion *vfork_done;
	unsigned long sas_ss_sp, sas_ss_size;
	struct thread_struct thread;
};
/* arm64 */
struct task_struct___arm64 {
	struct thread_struct___arm64 thread;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

struct in6_addr {
	union {
		u8 u6_addr8[16];
		u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	u8 skc_state;
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct {
		struct net *net;
	} skc_net;
	struct {
		s64 counter;
	} skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
	int sk_err;
};

struct tcp_sock {
	u64 bytes_sent, bytes_retrans, bytes_received;
	u32 segs_in, segs_out, total_retrans, srtt_us;
};

struct inet_sock {
	__be16 inet_sport;
};

struct socket {
	short type;
	struct file *file;
	struct sock *sk;
};

/* A message given to a socket. */
struct msghdr {
	void *msg_name;
	int msg_namelen;
};

/* The address of a UNIX socket: `len` bytes of a sockaddr_un behind the head. */
struct sockaddr_un {
	u16 sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct sockaddr {
	u16 sa_family;
};

struct sockaddr_vm {
	u16 svm_family, svm_reserved1;
	u32 svm_port, svm_cid, svm_flags;
};

/* Not there where vsock is a module that was not loaded. */
struct vsock_sock {
	struct sockaddr_vm remote_addr;
};

struct module {
	char name[56];
	const char *version;
	const char *srcversion;
};

/* What the kernel reads a file for. */
enum kernel_read_file_id {
	READING_MODULE = 2,
	READING_MODULE_COMPRESSED = 7, /* 6.17 and later */
};

struct bpf_prog_aux {
	u32 id;
	const char *attach_func_name; /* what a program by BTF is for: a function, a tracepoint, an LSM hook */
	char name[16];
};

enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC = 0,
};

enum bpf_attach_type {
	BPF_CGROUP_INET_INGRESS = 0,
};

struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	struct bpf_prog_aux *aux;
};

struct bpf_map {
	u32 id;
	char name[16];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/*
 * Contexts of perf tracepoints: the fields stand where the kernel's `format` files say, found by BTF. Also behind the common head: it is
 * longer in real-time kernels before 6.6 (common_preempt_lazy_count).
 */
struct trace_entry {
	u16 type;
	u8 flags, preempt_count;
	int pid;
};

/* A `__data_loc` word is an offset from the record's start (low half), and a length. */
struct trace_event_raw_cgroup {
	int root;
	u64 id;
	u32 __data_loc_path;
};

struct trace_event_raw_cgroup_migrate {
	int pid;
	u32 __data_loc_dst_path, __data_loc_comm;
};

struct trace_event_raw_module_load {
	u32 __data_loc_name;
};

struct trace_event_raw_module_free {
	u32 __data_loc_name;
};

struct trace_event_raw_sys_enter {
	long id;
};

struct trace_event_raw_sys_exit {
	long id, ret;
};

struct trace_event_raw_task_rename {
	char oldcomm[16], newcomm[16];
};

struct trace_event_raw_sched_switch {
	char prev_comm[16];
	pid_t prev_pid;
	char next_comm[16];
	pid_t next_pid;
};

struct trace_event_raw_sched_prepare_exec {
	u32 __data_loc_filename;
};

struct trace_event_raw_cap_capable {
	int cap, ret;
};

struct trace_event_raw_sched_process_exec {
	pid_t old_pid;
	u32 __data_loc_filename;
};

struct trace_event_raw_inet_sock_set_state {
	const void *skaddr;
	int oldstate, newstate;
};

#pragma clang attribute pop
