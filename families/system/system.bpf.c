/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The machine as a whole: its clock. */

static __always_inline void tell_settime(struct run *run, const struct timespec64 *time, const struct timezone *zone)
{
	if (!claim(run, EVENT(security_settime64)))
		return;
	if (time) {
		put_u64(run, FIELD(security_settime64, tv_sec), BPF_CORE_READ(time, tv_sec));
		put_u64(run, FIELD(security_settime64, tv_nsec), BPF_CORE_READ(time, tv_nsec));
	}
	if (zone) {
		put_u32(run, FIELD(security_settime64, tz_minuteswest), BPF_CORE_READ(zone, tz_minuteswest));
		put_u32(run, FIELD(security_settime64, tz_dsttime), BPF_CORE_READ(zone, tz_dsttime));
	}
	submit(run);
}

SEC("lsm/settime")
int BPF_PROG(security_settime64__lsm, const struct timespec64 *time, const struct timezone *zone)
{
	return answer(REFUSES(security_settime64__lsm, tell_settime(&run, time, zone)));
}

SEC("kprobe/security_settime64")
int BPF_KPROBE(security_settime64__kprobe, const struct timespec64 *time, const struct timezone *zone)
{
	RUN(security_settime64__kprobe, tell_settime(&run, time, zone));
	return 0;
}

/* As the caller's memory has it now. A 32-bit call's time is as wide as its table says, and not taken apart here: unavailable. */
SYSCALL_EXIT(security_settime64)
{
	bool of_day = CALL_IS(call, settimeofday);
	u64 time[2], from, zone_from;
	s32 zone[2];

	if (call->ret || (!of_day && call_argument(call, 0)) || !claim_call(run, call, EVENT(security_settime64)))
		return;
	from = forget(run->slot, of_day ? call_argument(call, 0) : call_argument(call, 1));
	zone_from = forget(run->slot, of_day ? call_argument(call, 1) : 0);
	if (from && call->number < COMPAT_BASE && !bpf_probe_read_user(time, sizeof(time), (const void *)from)) {
		put_u64(run, FIELD(security_settime64, tv_sec), time[0]);
		put_u64(run, FIELD(security_settime64, tv_nsec), of_day ? time[1] * 1000 : time[1]);
	}
	if (zone_from && !bpf_probe_read_user(zone, sizeof(zone), (const void *)zone_from)) {
		put_u32(run, FIELD(security_settime64, tz_minuteswest), zone[0]);
		put_u32(run, FIELD(security_settime64, tz_dsttime), zone[1]);
	}
	submit(run);
}
