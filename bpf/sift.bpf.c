/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* For tests: what a sieve says of a record that user space has put into a slot. An object of its own; nothing of it is in the sensor's. */
#include "probe.h"

/* The classes that may be met; all of them if there is no sieve for the event. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 8);
} task_verdict SEC(".maps");

SEC("raw_tp")
int sift_record(void *ctx)
{
	u32 zero = 0;
	struct slot *slot = bpf_map_lookup_elem(&task_slots, &zero);
	u64 *verdict = bpf_map_lookup_elem(&task_verdict, &zero);
	struct sieve *sieve;

	if (!slot || !verdict)
		return 0;
	sieve = sieve_of(slot->header.event);
	*verdict = sieve ? may_pass(slot, sieve) : ALL_CLASSES;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
