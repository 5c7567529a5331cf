/* The little of BPF C that the test objects need. No header of the system: they compile anywhere. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define noinline __attribute__((noinline))
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]

enum {
	HASH = 1,
	ARRAY = 2,
	PROG_ARRAY = 3,
	PERCPU_HASH = 5,
	PERCPU_ARRAY = 6,
	LRU_PERCPU_HASH = 10,
	ARRAY_OF_MAPS = 12,
	PERCPU_CGROUP_STORAGE = 21,
	RINGBUF = 27,
	TASK_STORAGE = 29,
	RDONLY_PROG = 1 << 7,
};

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const delete)(void *map, const void *key) = (void *)3;
static u64 (*const ktime)(void) = (void *)5;
static long (*const tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*const read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static void *(*const storage_get)(void *map, void *task, void *value, u64 flags) = (void *)156;
static void *(*const current_task)(void) = (void *)158;
static long (*const for_each)(void *map, void *callback, void *ctx, u64 flags) = (void *)164;
static long (*const loop)(u32 count, void *callback, void *ctx, u64 flags) = (void *)181;

/* One map of u32 to u64. */
#define MAP(name, kind, flags)                                                                                         \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(map_flags, flags);                                                                              \
		__uint(max_entries, 16);                                                                               \
		__type(key, u32);                                                                                      \
		__type(value, u64);                                                                                    \
	} name SEC(".maps")

/* Reads a map, so that the program reaches it. */
#define READ(map)                                                                                                      \
	({                                                                                                             \
		u32 key_ = 0;                                                                                          \
		u64 *value_ = lookup(&map, &key_);                                                                     \
		value_ ? *value_ : 0;                                                                                  \
	})

char _license[] SEC("license") = "GPL";
