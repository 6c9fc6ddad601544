/*
 * cancel.h -- calls that may wait without limit are cancellation points, as those of the C library are
 *
 * As in glibc until 2.40, a thread that is cancelled while it waits ends at once.  In a process with one thread no
 * other thread can cancel it.
 */
#ifndef PMIO_REDIRECT_CANCEL_H
#define PMIO_REDIRECT_CANCEL_H

#include <pthread.h>
#include <sys/single_threaded.h>

#define CANCELLABLE(call)                                                                                        \
	({                                                                                                         \
		long result_;                                                                                      \
		int type_ = PTHREAD_CANCEL_DEFERRED;                                                               \
		bool may_ = !__libc_single_threaded && !redirect_inside;                                           \
                                                                                                                   \
		if (may_)                                                                                          \
			pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type_);                                \
		result_ = (call);                                                                                  \
		if (may_)                                                                                          \
			pthread_setcanceltype(type_, NULL);                                                        \
		result_;                                                                                           \
	})

#endif
