/*
 * remote.h -- files in the pools of other nodes
 *
 * A node's target (pmiod --target) lets processes of other nodes open files of the pool
 * there.  It runs as long as a process needs it: remote_advertise() starts it, and its
 * endpoint descriptor contains what other nodes need to find it and to prove that they may use it.
 *
 * A file opened by remote_open() is a struct pmio_file like any other: all of pmio.h and
 * client.h works with it.  When a write returns, its data are in the other node's pool,
 * durable.
 *
 * When a target does not answer within the setting `timeout`, or has ended, calls on
 * its files fail with -EIO (-EHOSTDOWN where nothing was tried), and the log names the node.
 * Later calls try to connect again, and continue with the file if it is still the same one.
 *
 * Threads: any.  A child of fork() cannot use its parent's files.
 */
#ifndef PMIO_REMOTE_REMOTE_H
#define PMIO_REMOTE_REMOTE_H

#include "client/client.h"
#include "fabric/fabric.h"

/* endpoint descriptor: how to reach a node's target; plain bytes; secret, as it contains the key */
struct remote_endpoint {
	struct pmio_fabric_endpoint fabric;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	uint8_t uuid[16];	/* of the pool */
	uint64_t chunk_size;	/* of the pool, bytes */
	uint16_t liveness;	/* TCP port at the same address (wire.h) */
	char host[64];		/* 0-terminated; for messages */
	bool dirty;		/* the mark in a layout file: the target has data to drain, or may have after a crash */
};
_Static_assert(sizeof(struct pmio_fabric_endpoint) == 104 && sizeof(struct remote_endpoint) == 232, "as ranks send it to each other");

/*
 * remote_advertise -- make the files of this node's pool available to other nodes
 *
 * Starts the target if it does not run; it stays at least until remote_disconnect_all().
 * Returns 0, or the error that keeps it from starting (logged).
 */
int remote_advertise(struct pmio *pm, struct remote_endpoint *endpoint);

/*
 * remote_stop -- end the target of the pool in this directory, if one runs
 *
 * It gives its sessions 2 s to end.  Removing the pool ends it too, as the file with its endpoint descriptor is removed.
 * force: with SIGKILL, if it was stopped by a signal, or does not end
 * Returns 0 when it has ended; -ETIMEDOUT: it does not end; or another error.
 */
int remote_stop(const char *dir, bool force);

/*
 * remote_open -- as client_open(), at the target that endpoint describes
 *
 * settings  of this process: address, provider, timeout
 */
int remote_open(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path,
		const struct client_open *how, struct pmio_file **out);

struct remote_layout;
/*
 * remote_open_relayed -- the same for a target of a file of several nodes, through this node's own target
 *
 * own  index of this node's target.  It has one session with the other target for all processes of the node, and shares what
 *      is open there among those of the layout session: for calls that move few bytes.  If it has ended, calls go to the
 *      other target itself
 */
int remote_open_relayed(const struct pmio_settings *settings, const struct remote_layout *layout, uint32_t own, uint32_t target, const char *path,
			const struct client_open *how, struct pmio_file **out);

/* as pmio_delete(); -ENOENT is not logged */
int remote_delete(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path);

struct remote_stat_answer_msg;
int remote_stat(const struct pmio_settings *settings, const struct remote_endpoint *endpoint,
		struct remote_stat_answer_msg *st);

/*
 * record an endpoint descriptor that may be newer than the known one of its target; the next session uses it.  0 or
 * -ENOMEM
 */
int remote_note_endpoint(const struct pmio_settings *settings, const struct remote_endpoint *endpoint);

/*
 * remote_pass_on -- send a CLAIM or POINTER that another process has made to a target
 *
 * msg     complete, except for its header's session, which is filled in
 * answer  room bytes; *len: of the answer
 * Returns the answer's status, or -EIO
 */
int remote_pass_on(const struct pmio_settings *settings, const struct remote_endpoint *to, void *msg, size_t len, void *answer, size_t room,
		   size_t *answer_len);

/* end the sessions with all nodes; no file may be open */
void remote_disconnect_all(void);
/*
 * in a child of fork(), which has no other thread: drop the parent's sessions and files; their memory is not freed.
 * The caller closes the descriptors, as the parent's liveness sockets must end with the parent
 */
void remote_forget(void);

/* ---- endpoint descriptors in files --------------------------------------------------- */

/*
 * save the endpoint descriptor to a file that only this user may read, atomically; 0 or -errno
 *
 * -EPERM: a new file there is not this user's alone, so the key was not written.
 */
int remote_endpoint_save(int dir_fd, const char *name, const struct remote_endpoint *endpoint);
/*
 * give endpoint the key of the endpoint descriptor in that file, so that processes that know it find the target again
 *
 * Returns 0; -ENOENT: there is no file, or others may know or have made its key (logged): a new key is needed; or
 * an error.
 */
int remote_endpoint_keep_key(const char *name, struct remote_endpoint *endpoint);
/* 0, -ENOENT, -EPERM (others may have written or read it), PMIO_EPROTO; not logged */
int remote_endpoint_load(int dir_fd, const char *name, struct remote_endpoint *endpoint);

/* ---- files of several nodes ----------------------------------------------------------- */

#define REMOTE_LAYOUT_ID 16 /* bytes */
#define REMOTE_NOBODY UINT32_MAX /* "no target", in place of an index */
#define REMOTE_TARGETS_MAX 65536

/* a layout session of such a file: from its first open to its last close, the same for all processes */
struct remote_layout {
	uint8_t id[REMOTE_LAYOUT_ID]; /* random */
	enum pmio_placement placement; /* not AUTO */
	uint32_t nr;		/* targets; 1..REMOTE_TARGETS_MAX */
	uint32_t nr_memory;	/* the last ones: memory nodes, used by LOCAL when a node's pool is full */
	struct remote_endpoint *endpoints; /* owned */
	bool joined;		/* by remote_layout_begin() or _find() */
	uint64_t number;	/* if joined: the number of this join in this process */
	bool began;		/* by remote_layout_begin() */
	bool relays;		/* several processes of this node open it: calls that move no data go through the node's target */
};
void remote_layout_fini(struct remote_layout *layout);

/*
 * remote_layout_begin -- the first open: make the layout file and join
 *
 * layout->id is chosen here.  -EEXIST: another job uses the file on several nodes (join its
 * layout session, or try again), and its layout file is not a leftover; otherwise as remote_open().
 */
int remote_layout_begin(const struct pmio_settings *settings, const char *path, struct remote_layout *layout);

/*
 * remote_layout_find -- is the file in use on several nodes?
 *
 * Returns 0: yes, and this process has joined; -ENOENT: no, and leftovers of jobs that
 * have died have been removed; -EBUSY: perhaps, or it has a dirty mark (logged).
 */
int remote_layout_find(const struct pmio_settings *settings, const char *path, struct remote_layout *layout);

/* begin a layout session; if another process has begun one since this one looked, join that one and set *found */
int remote_layout_begin_or_join(const struct pmio_settings *settings, const char *path, struct remote_layout *layout,
				bool *found);

/* what happens to the layout file after the last close */
enum remote_keep {
	REMOTE_KEEP_IF_DIRTY, /* it is kept if a target has a dirty mark */
	REMOTE_KEEP,	      /* data could not be drained: it is kept, with dirty marks for later opens */
	REMOTE_KEEP_NOT,      /* the file is discarded */
};
/*
 * 0: no other process uses the file, as far as is known; 1: others do; or an error: the next session tells the metadata
 * server again
 */
int remote_layout_leave(const struct pmio_settings *settings, const struct remote_layout *layout, enum remote_keep keep);

/*
 * remote_striped_open -- open a file whose pieces are on several targets
 *
 * pm      this node's pool; its target's index in the list is found by the pool's uuid
 * how     by_fd: open the file of this descriptor, which is also used for the open on this node
 * layout  copied; still owned by the caller
 * joined  this handle's close leaves the layout session
 */
int remote_striped_open(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		     const struct client_open *how, const struct remote_layout *layout, bool joined,
		     struct pmio_file **out);
/* the layout of a file that remote_striped_open() opened; NULL for other files */
const struct remote_layout *remote_layout_of(const struct pmio_file *f);

/* this node's index in the file's list of targets; nr or more: it is not in the list */
uint32_t remote_striped_own(const struct pmio_file *f);

enum remote_pointer_how {
	REMOTE_POINTER_ADD,
	REMOTE_POINTER_SET,
	REMOTE_POINTER_END, /* free it */
};
/*
 * remote_striped_pointer -- a shared file pointer of a file that remote_striped_open() opened, kept by its metadata server
 *
 * pointer  a random number, the same for all processes that share it; its first value is 0
 * was      out: its previous value
 * Returns 0; -EIO: the target did not answer, and may or may not have moved it, or was restarted; or another error
 */
int remote_striped_pointer(struct pmio_file *f, uint64_t pointer, enum remote_pointer_how how, uint64_t value, uint64_t *was);

/* a transport of data to targets other than the fabric */
struct remote_transport {
	/*
	 * post -- begin to read or write pieces (nr and their bytes are not 0) that a target other than own holds
	 *
	 * The list of pieces belongs to the file and is valid until this returns, their memory belongs to the
	 * transport until finish(). 0; -EOPNOTSUPP: use the fabric for these; or an error.
	 */
	int (*post)(void *arg, uint32_t holder, const struct pmio_piece *pieces, size_t nr, uint64_t bytes, bool write);
	/* wait until everything posted is done: 0; 1: a read met the end of the file; or an error */
	int (*finish)(void *arg);
};
/*
 * remote_striped_use_transport -- use a transport for this thread's reads and writes of f from now on; f NULL: end its use
 *
 * Its functions are called without locks, and may themselves read and write f.
 */
void remote_striped_use_transport(const struct pmio_file *f, const struct remote_transport *how, void *arg);

/* note that another process's close of the file has failed, so data are dirty; does nothing for files that are not striped */
void remote_striped_keep(struct pmio_file *f);

/* placement.c: are targets asked which of them holds a chunk?  Then they have to be told of the file first, see remote_layout_serve() */
bool remote_placement_has_claims(const struct remote_layout *layout);
/* let this node's target answer claims of the file's chunks */
int remote_layout_serve(const struct pmio_settings *settings, const struct remote_endpoint *mine,
			const struct remote_layout *layout);
/*
 * the same for all targets from the one with index first on, and each step-th after it, several at a time, by threads that end before it
 * returns; the first error
 */
int remote_layout_serve_all(const struct pmio_settings *settings, const struct remote_layout *layout, uint32_t first, uint32_t step);

/* 1: there is a layout file of that layout session; 0: there is none; or an error: it is not known */
int remote_layout_file_is_there(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID]);
/* remove the layout file, if it belongs to that layout session and has no dirty mark; dirty: also if it has one */
void remote_layout_file_remove(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID], bool dirty);
/* set all its dirty marks, so that it stays */
void remote_layout_file_keep(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID]);
/*
 * set the dirty mark of that target in the layout file of path; 0, -ENOENT (there is no such file,
 * or it belongs to another layout session), or another error
 */
int remote_layout_file_mark(const char *path, const uint8_t id[REMOTE_LAYOUT_ID], uint32_t target);
/* the same for all targets */
int remote_layout_file_mark_all(const char *path, const uint8_t id[REMOTE_LAYOUT_ID]);
/*
 * clear the dirty mark of that pool in the layout file of path.  After the last one the layout file is
 * removed; that of a file of memory nodes by remote_layout_file_settle(), as its list may be in use again.
 * drain: called under the lock, when no mark can be set, to drain again; if it fails, nothing changes.
 * NULL: not needed.
 */
void remote_layout_file_drained(const char *path, const uint8_t uuid[16], int (*drain)(void *arg), void *arg);
/*
 * for the metadata server of path, which has that pool: remove the layout file if no process uses path
 * and it has no dirty mark
 *
 * Returns 0: nothing (more) has to be done for this pool; -EAGAIN: it still has a dirty mark, or is in use.
 */
int remote_layout_file_settle(const char *path, const uint8_t uuid[16],
			      bool (*is_active)(void *arg, const uint8_t id[REMOTE_LAYOUT_ID]), void *arg);

/*
 * remote_watch -- have the target remove its mark from the layout file of path, when it has drained path
 *
 * The target tries as long as it runs.  Returns 0: it has accepted that; or an error (logged).
 */
int remote_watch(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path);
/*
 * remote_layout_forget -- the file is to be removed: remove also its data that have not been drained on
 * several nodes
 *
 * except those in the pool with that uuid, and remove the layout file that lists them.
 * Returns true if another node has removed the file's name, too.
 */
bool remote_layout_forget(const struct pmio_settings *settings, const char *path, const uint8_t own[16]);

/*
 * remote_targets_load -- the memory nodes that the setting `targets` names
 *
 * setting    names of files with endpoint descriptors, separated by ','
 * endpoints  out: owned by the caller
 * Returns 0; -ENOENT, -EPERM, ... of a file (logged); -EINVAL: it names none.
 */
int remote_targets_load(const char *setting, struct remote_endpoint **endpoints, uint32_t *nr);

/*
 * remote_layout_complete -- choose the placement for a file of these targets, and append memory nodes if they are used (client_spills())
 *
 * layout  endpoints: those of the nodes of the processes that open it.  0 or an error
 */
int remote_layout_complete(const struct pmio_settings *settings, struct remote_layout *layout);

/*
 * remote_memory_begin -- begin the layout session of a file that goes to memory nodes alone (client_wants_memory_nodes()),
 * or join it
 *
 * how     CREATE, EXCL and TRUNC are carried out
 * layout  as remote_layout_begin() leaves it; to be ended in any case
 * Returns 0; -EBUSY: other processes have it open as a file of one node; or another error, not logged if
 * layout->endpoints is set.
 */
int remote_memory_begin(const struct pmio_settings *settings, const char *path, const struct client_open *how,
			struct remote_layout *layout);

/*
 * remote_open_elsewhere -- open a file where other nodes have it, or on memory nodes if the settings require that
 *
 * pm   this node's pool
 * how  CREATE and TRUNC are carried out if it goes to memory nodes
 * Returns 0; 1: it is for the pool of this node; -EAGAIN: other processes have it open as a file of one node; or an error,
 * not logged if it comes from remote_striped_open().
 */
int remote_open_elsewhere(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how,
			  struct pmio_file **out);
/*
 * remote_share -- let processes of other nodes find a file that this one has open in its node's pool
 *
 * spill  its pieces may also go to memory nodes
 * file   closed, and then opened again as a file of several nodes; unchanged if it cannot be marked as one
 *        (-EACCES, -ENOSPC, ... of its folder)
 * found  out: another process has begun a layout session meanwhile, and this process has joined it
 * Returns 0, or an error: *file is closed then, or open as it was
 */
int remote_share(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how, bool spill,
		 struct pmio_file **file, bool *found);
/*
 * pmio_drain() of all pieces, also of those that other processes have written to targets that this one has not used yet
 */
int remote_drain_all(struct pmio_file *f);
/* if all pieces are in this node's pool, the file there, which f still owns; otherwise NULL */
struct pmio_file *remote_whole_here(struct pmio_file *f);
/* the functions above, for elsewhere_init() */
extern const struct elsewhere_nodes remote_nodes;

/*
 * remote_stage_in -- stage in a file to the memory nodes where programs with these settings look for
 * it
 *
 * pm    this node's pool
 * told  number of bytes staged in so far, for other threads to read
 * out   the open file, which keeps the data there; the caller closes it
 * Returns 0; -EBUSY: it is in use, and its pieces are elsewhere; or another error; logged.
 */
int remote_stage_in(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		    _Atomic uint64_t *told, struct pmio_file **out);

/* ---- this node's address ------------------------------------------------------------ */

/*
 * remote_address -- the numeric address that the setting `address` stands for
 *
 * An address, a network (10.1.0.0/16), an interface's name or a host's; unset: the first
 * interface that is up and not the loopback, or 127.0.0.1.  Returns 0, -EADDRNOTAVAIL
 * (logged).
 */
int remote_address(const char *setting, char *address, size_t size);

/*
 * remote_split_listen -- ADDRESS, ADDRESS:PORT, :PORT, or [ADDRESS]:PORT
 *
 * address  the part before the port; "" if it is empty.  service: the port, "" without one
 * An IPv6 address with a port is in brackets; ports are 1 to 65534, as the next one is used, too.
 * Returns 0, -EINVAL.
 */
int remote_split_listen(const char *listen, char *address, size_t size, char *service, size_t service_size);

/* ---- what a target leaves in the pool's directory ---------------------------------------- */

#define REMOTE_ENDPOINT_FILE "target"	/* in the pool's directory */
#define REMOTE_LOCK_FILE "target.lock"	/* ... held while a target runs */

#endif
