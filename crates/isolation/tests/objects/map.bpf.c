/* A map, reached by its program, is defined amiss. -D NAME, KIND, FLAGS, and REACH=0 for a map that no one reaches. */
#include "bpf.h"

MAP(NAME, KIND, FLAGS);

SEC("raw_tp/a") int task_probe(void *ctx)
{
#if REACH
	return READ(NAME);
#else
	return 0;
#endif
}
