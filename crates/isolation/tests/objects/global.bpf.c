/* Global data: 0 read-only, 1 .data, 2 .bss, 3 a section of .data's own, 4 .bss by a subprogram, 5 another section. */
#include "bpf.h"

const volatile u64 frozen = 3;
volatile u64 data = 3;
volatile u64 bss;
volatile u64 part SEC(".data.part") = 4;
volatile u64 odd SEC("other") = 5;

static noinline u64 bump(void)
{
	return ++bss;
}

SEC("raw_tp/a") int task_probe(void *ctx)
{
#if FAULT == 1
	return data;
#elif FAULT == 2
	return bss;
#elif FAULT == 3
	return part;
#elif FAULT == 4
	return bump();
#elif FAULT == 5
	return odd;
#else
	return frozen;
#endif
}
