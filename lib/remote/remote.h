/*
 * remote.h -- files in the pools of other nodes
 *
 * A node's target (pmiod --target) lets processes of other nodes open files of the pool
 * there.  It runs as long as somebody needs it: remote_offer() starts it, and `card` is
 * what others need to find it and to prove that they may.
 *
 * A file opened by remote_open() is a struct pmio_file as any other: all of pmio.h and
 * client.h works with it.  What a write wrote is in the other node's pool, durable, when
 * it returns.
 *
 * When a target does not answer within the setting `timeout`, or has ended, calls on
 * its files fail with -EIO (-EHOSTDOWN where nothing was tried), and the log names the node.
 * Later calls try to reach it again, and go on with the file if it still is the same one.
 *
 * Threads: any.  A child of fork() cannot use its parent's files.
 */
#ifndef PMIO_REMOTE_REMOTE_H
#define PMIO_REMOTE_REMOTE_H

#include "client/client.h"
#include "fabric/fabric.h"

/* how to reach a node's target; plain bytes, secret: it holds the key */
struct remote_card {
	struct pmio_fabric_card fabric;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	uint8_t uuid[16];	/* of the pool */
	uint64_t chunk_size;	/* of the pool, bytes */
	uint16_t lifeline;	/* TCP port at the same address (wire.h) */
	char host[64];		/* 0-terminated; for messages */
	bool waits;		/* in an owner's file: data of the file wait there, or may after a crash */
};

/*
 * remote_offer -- have the files of this node's pool offered to others
 *
 * Starts the target if it does not run; it stays at least until remote_disconnect_all().
 * Returns 0, or what keeps it from starting (logged).
 */
int remote_offer(struct pmio *pm, struct remote_card *card);

/*
 * remote_stop -- end the target of the pool in this directory, if one runs
 *
 * It gives its sessions 2 s to end.  Who removes the pool ends it too, as the card goes.
 * force: with SIGKILL, if it is stopped by a signal, or does not go
 * Returns 0 when it has gone; -ETIMEDOUT: it does not go; or another error.
 */
int remote_stop(const char *dir, bool force);

/*
 * remote_open -- as client_open(), on the node that the card is of
 *
 * settings  of this process: address, provider, timeout
 */
int remote_open(const struct pmio_settings *settings, const struct remote_card *card, const char *path,
		const struct client_open *how, struct pmio_file **out);

/* as pmio_delete(); -ENOENT is not logged */
int remote_delete(const struct pmio_settings *settings, const struct remote_card *card, const char *path);

struct remote_stat_answer_msg;
int remote_stat(const struct pmio_settings *settings, const struct remote_card *card,
		struct remote_stat_answer_msg *st);

/* leave all nodes; no file may be open */
void remote_disconnect_all(void);

/* ---- cards in files ---------------------------------------------------------------- */

/*
 * to a file that only this user may read, in one step; 0 or -errno
 *
 * -EPERM: a new file there is not this user's alone, so the key was not written.
 */
int remote_card_save(int dir_fd, const char *name, const struct remote_card *card);
/*
 * card gets the key of the card that is there, so that who knows that card finds the target again
 *
 * Returns 0; -ENOENT: there is none, or others may know or have made it (logged): a new one is needed; or an error.
 */
int remote_card_keep_key(const char *name, struct remote_card *card);
/* 0, -ENOENT, -EPERM (others may have written or read it), PMIO_EPROTO; not logged */
int remote_card_load(int dir_fd, const char *name, struct remote_card *card);

/* ---- files of several nodes ----------------------------------------------------------- */

#define REMOTE_USE_ID 16
#define REMOTE_NOBODY UINT32_MAX /* in place of the index of a target */
#define REMOTE_TARGETS_MAX 65536

/* from the first open of such a file to its last close the same for all */
struct remote_use {
	uint8_t id[REMOTE_USE_ID]; /* random */
	enum pmio_placement placement; /* not AUTO */
	uint32_t nr;		/* targets; 1..REMOTE_TARGETS_MAX */
	uint32_t nr_memory;	/* the last ones: memory nodes, which LOCAL goes to when a node's pool is full */
	struct remote_card *cards; /* owned */
	bool joined;		/* by remote_use_begin() or _find() */
	uint64_t number;	/* then: of this process's joins */
	bool began;		/* by remote_use_begin() */
};
void remote_use_fini(struct remote_use *use);

/*
 * remote_use_begin -- the first open: make the owner's file and join
 *
 * use->id is chosen here.  -EEXIST: somebody else uses the file on several nodes (join that
 * use, or try again), and what is there is not left over; else as remote_open().
 */
int remote_use_begin(const struct pmio_settings *settings, const char *path, struct remote_use *use);

/*
 * remote_use_find -- is the file in use on several nodes?
 *
 * Returns 0: yes, and this process has joined; -ENOENT: no; what is left over of jobs that
 * have died has been removed.  -EBUSY: perhaps, or data of it wait (logged).
 */
int remote_use_find(const struct pmio_settings *settings, const char *path, struct remote_use *use);

/* the same; another process may have begun a use since this one looked: then that is joined, and *found */
int remote_use_begin_or_join(const struct pmio_settings *settings, const char *path, struct remote_use *use,
			     bool *found);

/* what becomes of the owner's file after the last close */
enum remote_keep {
	REMOTE_KEEP_WAITING, /* it stays if it says that data wait somewhere */
	REMOTE_KEEP,	     /* data wait: it stays, and says so to who comes later */
	REMOTE_KEEP_NOT,     /* the file is discarded */
};
/* 0: that was the last, as far as is known; 1: others use it yet; or an error: the next session says it once more */
int remote_use_leave(const struct pmio_settings *settings, const struct remote_use *use, enum remote_keep keep);

/*
 * remote_striped_open -- open a file whose pieces are on several targets
 *
 * pm      this node's pool; its target's place in the list is found by the pool's uuid
 * use     copied; stays the caller's
 * joined  this handle's close leaves the use
 */
int remote_striped_open(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		     const struct client_open *how, const struct remote_use *use, bool joined,
		     struct pmio_file **out);
/* the use of a file that remote_striped_open() opened; NULL: it was opened otherwise */
const struct remote_use *remote_use_of(const struct pmio_file *f);

/* this node's place in its list; at least nr: it has none */
uint32_t remote_striped_own(const struct pmio_file *f);

enum remote_pointer_how {
	REMOTE_POINTER_ADD,
	REMOTE_POINTER_SET,
	REMOTE_POINTER_END, /* nobody uses it any more */
};
/*
 * remote_striped_pointer -- a shared file pointer of a file that remote_striped_open() opened, kept by its first target
 *
 * pointer  a random number, the same for all that share it; it is at 0 at first
 * was      out: where it was
 * Returns 0; -EIO: the target did not answer, and may or may not have done it, or was started anew; or another error
 */
int remote_striped_pointer(struct pmio_file *f, uint64_t pointer, enum remote_pointer_how how, uint64_t value, uint64_t *was);

/* another way to targets than the fabric */
struct remote_carrier {
	/*
	 * post -- begin to read or write pieces (nr and their bytes are not 0) that a target other than own holds
	 *
	 * pieces are the file's until this returns, their memory the carrier's until finish().  0;
	 * -EOPNOTSUPP: these are to go by the fabric; or an error.
	 */
	int (*post)(void *arg, uint32_t holder, const struct pmio_piece *pieces, size_t nr, uint64_t bytes, bool write);
	/* all that was posted is done: 0; 1: a read met the end of the file; or an error */
	int (*finish)(void *arg);
};
/*
 * remote_striped_carry -- what this thread reads and writes in f from now on goes by a carrier; f NULL: no more
 *
 * Its functions are called without locks, and may themselves read and write f.
 */
void remote_striped_carry(const struct pmio_file *f, const struct remote_carrier *how, void *arg);

/* another process's close of the file has failed: data wait; for other files nothing */
void remote_striped_keep(struct pmio_file *f);

/* this node's target will answer for chunks of the file */
int remote_use_serve(const struct pmio_settings *settings, const struct remote_card *mine,
		     const struct remote_use *use);

/* 1: there is an owner's file of that use; 0: there is none; or an error, and nothing is known */
int remote_owner_is_there(const char *owner, const uint8_t id[REMOTE_USE_ID]);
/* the owner's file goes, if it is of that use, and no data wait or waiting is set; or stays, and says that data wait */
void remote_owner_remove(const char *owner, const uint8_t id[REMOTE_USE_ID], bool waiting);
void remote_owner_keep(const char *owner, const uint8_t id[REMOTE_USE_ID]);
/*
 * in the owner's file of path: data wait at that target; 0, -ENOENT (there is no such file, or it is
 * of another use), or another error
 */
int remote_owner_wait(const char *path, const uint8_t id[REMOTE_USE_ID], uint32_t target);
/* the same of all targets */
int remote_owner_wait_all(const char *path, const uint8_t id[REMOTE_USE_ID]);
/*
 * nothing of path waits in that pool any more.  After the last such pool the owner's file goes; that of a
 * file of memory nodes by remote_owner_settle(), as its list may be in use again.  drain: once more,
 * now that no mark can be put there; if it fails, nothing changes.  NULL: not needed.
 */
void remote_owner_drained(const char *path, const uint8_t uuid[16], int (*drain)(void *arg), void *arg);
/*
 * at the first target of path, with that pool: nobody uses it, and nothing waits: the owner's file goes
 *
 * Returns 0: there is nothing to do for this pool (any more); -EAGAIN: data wait yet, or it is in use.
 */
int remote_owner_settle(const char *path, const uint8_t uuid[16],
			bool (*in_use)(void *arg, const uint8_t id[REMOTE_USE_ID]), void *arg);

/*
 * remote_watch -- have the target take away its mark in the owner's file of path, once it has drained path
 *
 * It tries until it ends.  Returns 0: it will; or an error (logged).
 */
int remote_watch(const struct pmio_settings *settings, const struct remote_card *card, const char *path);
/*
 * remote_use_forget -- the file is to be removed: so are data of it that wait on several nodes
 *
 * but for those of the pool with that uuid, and the owner's file that says so.  Returns
 * whether another node has removed it by that.
 */
bool remote_use_forget(const struct pmio_settings *settings, const char *path, const uint8_t own[16]);

/*
 * remote_targets_load -- the memory nodes that the setting `targets` names
 *
 * setting  card files, separated by ','
 * cards    out: owned by the caller
 * Returns 0; -ENOENT, -EPERM, ... of a file (logged); -EINVAL: it names none.
 */
int remote_targets_load(const char *setting, struct remote_card **cards, uint32_t *nr);

/* do files that are opened with these settings go to memory nodes alone? */
bool remote_memory_wanted(const struct pmio_settings *settings);
/*
 * remote_memory_begin -- begin the use of such a file, or join it
 *
 * how  CREATE, EXCL and TRUNC are done.  use: as remote_use_begin() leaves it; to be ended in any
 * case.  Returns 0; -EBUSY: others have it open, as a file of one node; or another error,
 * not logged where use->cards is set.
 */
int remote_memory_begin(const struct pmio_settings *settings, const char *path, const struct client_open *how,
			struct remote_use *use);

/*
 * remote_stage_in -- bring a file into the memory nodes that a program with these settings finds it on
 *
 * pm    this node's pool
 * told  bytes that have been brought in so far, for other threads to look at
 * out   open, and keeps it there; the caller closes it
 * Returns 0; -EBUSY: it is in use, and its pieces are elsewhere; or another error; logged.
 */
int remote_stage_in(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		    _Atomic uint64_t *told, struct pmio_file **out);

/* ---- this node's address ------------------------------------------------------------ */

/*
 * remote_address -- the numeric address that the setting `address` stands for
 *
 * An address, a network (10.1.0.0/16), an interface's name or a host's; unset: the first
 * interface that is up and not the loopback, else 127.0.0.1.  Returns 0, -EADDRNOTAVAIL
 * (logged).
 */
int remote_address(const char *setting, char *address, size_t size);

/*
 * remote_split_listen -- ADDRESS, ADDRESS:PORT, :PORT, or [ADDRESS]:PORT
 *
 * address  what is before the port; "" if there is nothing.  service: the port, "" without one
 * An IPv6 address with a port is in brackets; ports are 1 to 65534, as the next one is
 * used, too.  Returns 0, -EINVAL.
 */
int remote_split_listen(const char *listen, char *address, size_t size, char *service, size_t service_size);

/* ---- what a target leaves in the pool's directory ---------------------------------------- */

#define REMOTE_CARD_FILE "target"	/* in the pool's directory */
#define REMOTE_LOCK_FILE "target.lock"	/* ... held while a target runs */

#endif
