/*
 * file_state.c -- the states of a file, and the events that lead from one to the next
 *
 * Each kind of state has a table, state x event -> next state, and one function that changes it.  An event that the
 * table does not allow in a state is an error in this program: it is logged, and the state stays.
 */
#include "agent/file.h"
#include "core/log.h"

#define TO(state) ((state) + 1) /* in a table where 0 is: this event is not possible here */

/* to: from such a table */
static unsigned next(const struct file *f, const char *kind, unsigned state, unsigned event, unsigned to)
{
	if (to)
		return to - 1;
	pmio_err("agent: %s: error in pmiod: event %u in state %u of %s", f->path, event, state, kind);
	return state;
}

/* ---- in the catalog --------------------------------------------------------------- */

/*
 * enum pmio_file_state (pool/pool.h) says what a new agent has to do with the file if this one ends now.  Events
 * come from open.c and close.c (programs and commands), drain.c and syncs.c (the outcome of a drain), idle.c
 * (no program has the file open any more) and recover.c (at the start).
 */
static const uint8_t next_state[][FILE_NR_EVENTS] = {
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
	f->state = (enum pmio_file_state)next_state[f->state][event];
}

/* ---- the job that keeps a drain from starting ----------------------------------------- */

/* one at a time: marks.c leaves out a file that is busy, and a truncation waits until the file has no jobs */
static const uint8_t next_busy[][FILE_NR_BUSY_EVENTS] = {
	[FILE_NOT_BUSY] = {
		[FILE_MARK_BEGINS] = TO(FILE_MARKING),
		[FILE_TRUNCATION_BEGINS] = TO(FILE_TRUNCATING),
		[FILE_RECREATION_BEGINS] = TO(FILE_RECREATING),
	},
	[FILE_MARKING] = { [FILE_MARK_ENDS] = TO(FILE_NOT_BUSY) },
	[FILE_TRUNCATING] = { [FILE_TRUNCATION_ENDS] = TO(FILE_NOT_BUSY) },
	[FILE_RECREATING] = { [FILE_RECREATION_ENDS] = TO(FILE_NOT_BUSY) },
};

void file_busy_event(struct file *f, enum file_busy_event event)
{
	f->busy = (enum file_busy)next(f, "busy", f->busy, event, next_busy[f->busy][event]);
}

/* ---- its name goes, or its data -------------------------------------------------------- */

/*
 * A removal holds the file by a job, but a `pmio forget` that had begun before may end in between, and a drain that
 * was under way may find out that the name is gone.  A removed file is kept for a while if programs of an earlier agent may
 * still use its frames: it can be forgotten once more, or be set aside (files_set_aside()).
 *
 * file->no_inode is no part of these states: a file that is removed, or given up, may have an inode in the catalog or
 * not, and so may one whose removal could not be completed.
 */
static const uint8_t next_removal[][FILE_NR_REMOVAL_EVENTS] = {
	[FILE_STAYS] = {
		[FILE_REMOVAL_BEGINS] = TO(FILE_BEING_REMOVED),
		[FILE_FOUND_NAMELESS] = TO(FILE_NAME_LOST),
		[FILE_KEPT] = TO(FILE_KEPT_NAMELESS),
		[FILE_DROPPED] = TO(FILE_REMOVED),
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
	[FILE_NAME_LOST] = {
		[FILE_REMOVAL_BEGINS] = TO(FILE_BEING_REMOVED),
		[FILE_FOUND_NAMELESS] = TO(FILE_NAME_LOST),
		[FILE_KEPT] = TO(FILE_KEPT_NAMELESS),
		[FILE_DROPPED] = TO(FILE_REMOVED),
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
	[FILE_KEPT_NAMELESS] = {
		[FILE_FOUND_NAMELESS] = TO(FILE_KEPT_NAMELESS),
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
	[FILE_BEING_REMOVED] = {
		[FILE_REMOVAL_DONE] = TO(FILE_REMOVED),
		[FILE_REMOVAL_FAILED] = TO(FILE_STAYS),
		[FILE_FOUND_NAMELESS] = TO(FILE_BEING_REMOVED),	/* its end decides */
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
	[FILE_REMOVAL_RESUMED] = {
		[FILE_REMOVAL_DONE] = TO(FILE_REMOVED),
		[FILE_REMOVAL_FAILED] = TO(FILE_STAYS),
	},
	[FILE_REMOVED] = {
		[FILE_FOUND_NAMELESS] = TO(FILE_REMOVED),
		[FILE_KEPT] = TO(FILE_KEPT_NAMELESS),
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
	[FILE_GIVEN_UP] = {
		[FILE_REMOVAL_DONE] = TO(FILE_REMOVED),
		[FILE_REMOVAL_FAILED] = TO(FILE_STAYS),		/* forgotten meanwhile: its data are still there, and stay */
		[FILE_FOUND_NAMELESS] = TO(FILE_GIVEN_UP),
		[FILE_KEPT] = TO(FILE_KEPT_NAMELESS),
		[FILE_FORGOTTEN] = TO(FILE_GIVEN_UP),
	},
};

void file_removal_event(struct file *f, enum file_removal_event event)
{
	f->removal = (enum file_removal)next(f, "removal", f->removal, event, next_removal[f->removal][event]);
}

/* ---- is it open on several nodes? -------------------------------------------------------- */

static const uint8_t next_sharing[][FILE_NR_SHARING_EVENTS] = {
	[FILE_OF_ONE_NODE] = {
		[FILE_OPENED_ALONE] = TO(FILE_OF_ONE_NODE),
		[FILE_OPENED_SHARED] = TO(FILE_SHARED),
		[FILE_OPENED_AT_MDS] = TO(FILE_SHARED_SETS_SIZE),
	},
	[FILE_SHARED] = {
		[FILE_OPENED_ALONE] = TO(FILE_OF_ONE_NODE),
		[FILE_OPENED_SHARED] = TO(FILE_SHARED),
		[FILE_OPENED_AT_MDS] = TO(FILE_SHARED_SETS_SIZE),
	},
	[FILE_SHARED_SETS_SIZE] = {
		[FILE_OPENED_ALONE] = TO(FILE_OF_ONE_NODE),
		[FILE_OPENED_SHARED] = TO(FILE_SHARED_SETS_SIZE),	/* once more, for its bytes */
		[FILE_OPENED_AT_MDS] = TO(FILE_SHARED_SETS_SIZE),
	},
};

void file_sharing_event(struct file *f, enum file_sharing_event event)
{
	f->sharing = (enum file_sharing)next(f, "sharing", f->sharing, event, next_sharing[f->sharing][event]);
}

/* ---- are its data to stay in the pool? ---------------------------------------------------- */

static const uint8_t next_hold[][FILE_NR_HOLD_EVENTS] = {
	[FILE_NO_HOLD] = {
		[FILE_HOLD_BEGINS] = TO(FILE_ON_HOLD),
		[FILE_HOLD_ENDS] = TO(FILE_NO_HOLD),
		[FILE_RELEASE_WANTED] = TO(FILE_NO_HOLD),
		[FILE_RELEASE_DONE] = TO(FILE_NO_HOLD),
	},
	[FILE_ON_HOLD] = {
		[FILE_HOLD_BEGINS] = TO(FILE_ON_HOLD),
		[FILE_HOLD_ENDS] = TO(FILE_NO_HOLD),
		[FILE_RELEASE_WANTED] = TO(FILE_HOLD_RELEASED),
		[FILE_RELEASE_DONE] = TO(FILE_ON_HOLD),	/* what is written from now on is held again */
	},
	[FILE_HOLD_RELEASED] = {
		[FILE_HOLD_BEGINS] = TO(FILE_ON_HOLD),
		[FILE_HOLD_ENDS] = TO(FILE_NO_HOLD),
		[FILE_RELEASE_WANTED] = TO(FILE_HOLD_RELEASED),
		[FILE_RELEASE_DONE] = TO(FILE_NO_HOLD),
	},
};

void file_hold_event(struct file *f, enum file_hold_event event)
{
	f->hold = (enum file_hold)next(f, "hold", f->hold, event, next_hold[f->hold][event]);
}
