/*
 * pm_sites.h -- every call that flushes or fences, so that tests can leave one out
 *
 * For the mutation tests of the crash tests only (`make check-mutants`): sources
 * compiled with PMIO_PM_SITES put each such call into a list, and the recorder leaves
 * out the effect of the chosen one.  None of this is installed.
 *
 * Included at the end of pm.h, but not in pm.c itself, which has the functions.
 */
#ifndef PMIO_PM_PM_SITES_H
#define PMIO_PM_PM_SITES_H

#define PMIO_PM_FLUSHES 1u
#define PMIO_PM_FENCES 2u

struct pmio_pm_site {
	const char *file, *function;
	int line;
	unsigned does;	/* PMIO_PM_FLUSHES, PMIO_PM_FENCES or both */
	unsigned long calls;
};

/* all sites of the program, in no particular order; *nr: their number */
struct pmio_pm_site *const *pmio_pm_sites(size_t *nr);

/* from now on this site leaves out `what`; NULL: no site leaves anything out */
void pmio_pm_leave_out(const struct pmio_pm_site *site, unsigned what);

struct pmio_pm_site *pmio_pm_site_enter(struct pmio_pm_site *site);
void pmio_pm_site_leave(struct pmio_pm_site **site);

#ifdef PMIO_PM_SITES

/* the call is made between enter and leave; the expression has its value */
#define PMIO_PM_SITE(what, ...) \
	({ \
		static struct pmio_pm_site site_ = { \
			.file = __FILE__, .function = __func__, .line = __LINE__, .does = (what)}; \
		static struct pmio_pm_site *const listed_ \
			__attribute__((section("pmio_pm_site_list"), used)) = &site_; \
		struct pmio_pm_site *here_ __attribute__((cleanup(pmio_pm_site_leave))) = \
			pmio_pm_site_enter(&site_); \
		(void)here_; \
		__VA_ARGS__; \
	})

#define pmio_pm_copy(...) PMIO_PM_SITE(PMIO_PM_FLUSHES, (pmio_pm_copy)(__VA_ARGS__))
#define pmio_pm_zero(...) PMIO_PM_SITE(PMIO_PM_FLUSHES, (pmio_pm_zero)(__VA_ARGS__))
#define pmio_pm_pread(...) PMIO_PM_SITE(PMIO_PM_FLUSHES, (pmio_pm_pread)(__VA_ARGS__))
#define pmio_pm_flush(...) PMIO_PM_SITE(PMIO_PM_FLUSHES, (pmio_pm_flush)(__VA_ARGS__))
#define pmio_pm_fence(...) PMIO_PM_SITE(PMIO_PM_FENCES, (pmio_pm_fence)(__VA_ARGS__))
#define pmio_pm_sync(...) \
	PMIO_PM_SITE(PMIO_PM_FLUSHES | PMIO_PM_FENCES, (pmio_pm_sync)(__VA_ARGS__))

#else
#define PMIO_PM_SITE(what, ...) __VA_ARGS__
#endif

#endif
