/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* For tests: what a sieve says of a record that user space has put into a slot. An object of its own; nothing of it is in the sensor's. */
#include "probe.h"

/* The classes that may be met, all of them if there is no sieve for the event; and those that are met for sure and have something done. */
struct sifted {
	u64 classes, sure;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct sifted));
} task_verdict SEC(".maps");

SEC("raw_tp")
int sift_record(void *ctx)
{
	u32 zero = 0;
	struct slot *slot = bpf_map_lookup_elem(&task_slots, &zero);
	struct sifted *verdict = bpf_map_lookup_elem(&task_verdict, &zero);
	struct sieve *sieve;

	if (!slot || !verdict)
		return 0;
	sieve = sieve_of(slot->header.event);
	*verdict = (struct sifted){.classes = ALL_CLASSES};
	if (!sieve)
		return 0;
	verdict->classes = may_pass(slot, sieve, ALL_CLASSES, false);
	if (verdict->classes && slot->header.origin == ORIGIN_CURRENT)
		verdict->sure = surely_met(slot, sieve, sieve->kill | sieve->deny);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
