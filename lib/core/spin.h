/*
 * spin.h -- busy polling: how long to poll for something before sleeping until it comes
 *
 * A sleeping processor takes some 20 to 30 us to wake up in a virtual machine, as long as a short request and its
 * answer take in all.  But if other threads need the processor, or the wait is long anyway, polling only costs.  So
 * the time is adapted: doubled while a little more would have been enough, 0 after a long wait.  The algorithm is
 * that of the Linux kernel for halted virtual processors (Documentation/virt/kvm/halt-polling.rst).
 *
 * Threads: one at a time per spin.
 */
#ifndef PMIO_CORE_SPIN_H
#define PMIO_CORE_SPIN_H

#include <stdint.h>

#define PMIO_SPIN_MIN_NS 20000

struct pmio_spin {
	uint64_t max_ns; /* after a longer wait, do not poll at all the next time */
	uint64_t ns;	 /* how long to poll */
};

/* to be called after each wait, with its total length */
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
