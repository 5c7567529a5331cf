/* What the proof can not follow: 1 a function that is not defined, 2 a variable that is not, 3 a call by pointer. */
#include "bpf.h"

extern u64 elsewhere(void);
extern u64 variable;

SEC("raw_tp/a") int task_probe(u64 *ctx)
{
#if FAULT == 1
	return elsewhere();
#elif FAULT == 2
	return variable;
#elif FAULT == 3
	return ((u64(*)(void))ctx[1])();
#else
	return 0;
#endif
}
