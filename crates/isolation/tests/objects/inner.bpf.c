/* The maps in a map: -D NAME, KIND and FLAGS of the inner ones. */
#include "bpf.h"

struct {
	__uint(type, ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__uint(map_flags, RDONLY_PROG);
	__uint(key_size, 4);
	__array(
		values, struct {
			__uint(type, KIND);
			__uint(map_flags, FLAGS);
			__uint(max_entries, 2);
			__uint(key_size, 4);
			__uint(value_size, 8);
		});
} NAME SEC(".maps");

SEC("raw_tp/a") int task_probe(void *ctx)
{
	u32 key = 0;

	return lookup(&NAME, &key) != 0;
}
