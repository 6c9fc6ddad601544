/*
 * raw.h -- system calls that bypass the C library, whose own functions lead back to this library
 */
#ifndef PMIO_REDIRECT_RAW_H
#define PMIO_REDIRECT_RAW_H

#include <errno.h>
#include <sys/syscall.h>

/* the kernel's answer: a negative errno, or the result */
static inline long raw_call(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "no system calls for this architecture"
#endif
}

/* RAW(openat, dir, path, flags, mode): up to six arguments */
#define RAW(name, ...) RAW_PICK(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define RAW_PICK(nr, a, b, c, d, e, f, ...) raw_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* the result as the C library returns it: -1 and errno for an error */
static inline long raw_result(long r)
{
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

#endif
