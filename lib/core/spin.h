/*
 * spin.h -- how long to look for something again and again before sleeping until it comes
 *
 * A processor that sleeps takes some 20 to 30 us to wake up in a virtual machine, as long as a short request and its
 * answer take in all.  But where others want the processor, or what is waited for takes long anyhow, to look only
 * costs.  So the time is found out: doubled while a little more would have been enough, nothing after a long wait.
 * The algorithm is that of the Linux kernel for halted virtual processors (Documentation/virt/kvm/halt-polling.rst).
 *
 * Threads: a spin is for one at a time.
 */
#ifndef PMIO_CORE_SPIN_H
#define PMIO_CORE_SPIN_H

#include <stdint.h>

#define PMIO_SPIN_MIN_NS 20000

struct pmio_spin {
	uint64_t max_ns; /* a longer wait: do not look at all the next time */
	uint64_t ns;	 /* look for so long */
};

/* after each wait, with how long it took in all */
static inline void pmio_spin_learn(struct pmio_spin *s, uint64_t waited_ns)
{
	if (waited_ns > s->max_ns)
		s->ns = 0;
	else if (waited_ns > s->ns)
		s->ns = s->ns < PMIO_SPIN_MIN_NS ? PMIO_SPIN_MIN_NS : s->ns * 2;
	if (s->ns > s->max_ns)
		s->ns = s->max_ns;
}

#endif
