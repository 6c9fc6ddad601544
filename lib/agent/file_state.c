/*
 * file_state.c -- the states of a file, as in the catalog, and the events that lead from one to the next
 *
 * enum pmio_file_state (pool/pool.h) says what a new agent has to do with the file if this one ends now.  Events
 * come from open.c and close.c (programs and commands), drain.c and syncs.c (the outcome of a drain), idle.c
 * (no program has the file open any more) and recover.c (at the start).
 */
#include "agent/file.h"

static const uint8_t next[][FILE_NR_EVENTS] = {
	[PMIO_FILE_CLEAN] = {
		[FILE_WRITER_OPENS] = PMIO_FILE_OPEN,
		[FILE_DRAIN_WANTED] = PMIO_FILE_OPEN,	/* after a power cut: what was drained may be gone */
		[FILE_DRAINED] = PMIO_FILE_CLEAN,	/* for a program that only reads, with nothing to drain */
		[FILE_DRAIN_FAILED] = PMIO_FILE_FAILED,
		[FILE_SYNC_FAILED] = PMIO_FILE_OPEN,
		[FILE_IS_HELD] = PMIO_FILE_HELD,
		[FILE_COMPLETE] = PMIO_FILE_CLEAN,
	},
	[PMIO_FILE_OPEN] = {
		[FILE_WRITER_OPENS] = PMIO_FILE_OPEN,
		[FILE_DRAIN_WANTED] = PMIO_FILE_OPEN,
		[FILE_DRAINED] = PMIO_FILE_OPEN,	/* writers may go on */
		[FILE_DRAIN_FAILED] = PMIO_FILE_FAILED,
		[FILE_SYNC_FAILED] = PMIO_FILE_OPEN,
		[FILE_IS_HELD] = PMIO_FILE_HELD,
		[FILE_COMPLETE] = PMIO_FILE_CLEAN,
	},
	[PMIO_FILE_HELD] = {
		[FILE_WRITER_OPENS] = PMIO_FILE_OPEN,
		[FILE_DRAIN_WANTED] = PMIO_FILE_OPEN,
		[FILE_DRAINED] = PMIO_FILE_HELD,	/* for a program that reads it; decided when the program closes it */
		[FILE_DRAIN_FAILED] = PMIO_FILE_FAILED,
		[FILE_SYNC_FAILED] = PMIO_FILE_OPEN,
		[FILE_IS_HELD] = PMIO_FILE_HELD,
		[FILE_COMPLETE] = PMIO_FILE_CLEAN,
	},
	[PMIO_FILE_FAILED] = {
		[FILE_WRITER_OPENS] = PMIO_FILE_OPEN,
		[FILE_DRAIN_WANTED] = PMIO_FILE_OPEN,
		[FILE_DRAINED] = PMIO_FILE_OPEN,	/* an earlier try had failed */
		[FILE_DRAIN_FAILED] = PMIO_FILE_FAILED,
		[FILE_SYNC_FAILED] = PMIO_FILE_OPEN,
		[FILE_IS_HELD] = PMIO_FILE_HELD,
		[FILE_COMPLETE] = PMIO_FILE_CLEAN,
	},
};

void file_event(struct file *f, enum file_event event)
{
	f->state = (enum pmio_file_state)next[f->state][event];
}
