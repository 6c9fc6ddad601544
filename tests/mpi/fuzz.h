/*
 * fuzz.h -- the parts of fuzz.c: fuzz_file.c is the file, fuzz_access.c what accesses do to it, fuzz.c the programs
 */
#ifndef PMIO_TEST_FUZZ_H
#define PMIO_TEST_FUZZ_H

#include "fuzz_type.h"

#define RANKS_MAX 8
#define HANDLES_MAX 4
#define OPS_MAX 64	 /* in a step */
#define GUARD 64	 /* bytes around a buffer */

/* ---- the program (fuzz.c) --------------------------------------------------------------- */

struct op;

extern struct rng R; /* every rank draws the same from it */
extern int my_rank;
extern bool tracing;
extern uint64_t serial; /* of writes: what they write */
extern uint64_t total_ops;
extern char doing[6000]; /* the operation at hand */
extern const struct op *doing_op; /* if not NULL, it is this one */

/* fmt...: what differs */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *fmt, ...);
void must(int rc, const char *call);
#define CALL(call) must(call, #call)
void trace(void);

/* ---- the file (fuzz_file.c) --------------------------------------------------------------- */

extern int64_t size;
extern bool exists_now;

void model_write(int64_t off, const unsigned char *buf, int64_t len);
void model_read(int64_t off, unsigned char *buf, int64_t len);
void model_resize(int64_t to);
void model_clear(void);
void pattern(unsigned char *buf, uint64_t w, int64_t from, int64_t len);
/* the file of this name, as all the world sees it */
void compare_file(const char *name);

/* ---- handles and views (fuzz_access.c) ----------------------------------------------------- */

struct view {
	int64_t disp;
	struct ty *etype, *filetype;
};

/* ranks of one colour have one MPI_File; -1: not in it */
struct group {
	int color[RANKS_MAX];
	int order[RANKS_MAX]; /* world ranks, in the communicator's order */
	int nr;		      /* of colours */
	MPI_Comm comm;
	const char *name;
};

struct handle {
	bool open;
	MPI_File fh;
	const struct group *g;
	int amode;
	struct view view[RANKS_MAX];
	int64_t pos[RANKS_MAX];	   /* individual pointers, bytes of the view's data */
	int64_t shared[RANKS_MAX]; /* of a colour, in etypes */
	bool one_view[RANKS_MAX];  /* of a colour: all its ranks have the same */
};

extern struct handle handles[HANDLES_MAX];
extern int64_t limit; /* files go this far beyond 0 and beyond `far` */
extern int64_t far;   /* 0, or where the second part of the file begins */

bool member(const struct handle *h, int rank);
bool in_it(const struct handle *h);
int64_t etype_size(const struct handle *h, int rank);
void set_model_view(struct handle *h, int rank, int64_t disp, struct ty *etype, struct ty *filetype);
/* how many bytes of a view's data lie before a byte of the file, and the other way round */
int64_t bytes_before(const struct view *v, int64_t off);
int64_t byte_of(const struct view *v, int64_t pos);
/* a byte of the file, with borders made likely */
int64_t random_offset(void);
/* a place for an explicit offset or a seek: about a byte of the file, in etypes of the view */
int64_t random_place(const struct handle *h, int rank);

/* ---- accesses (fuzz_access.c) ---------------------------------------------------------------- */

enum sync { BLOCKING, NONBLOCKING, COLLECTIVE, ICOLLECTIVE, SPLIT };
enum pointer { EXPLICIT, INDIVIDUAL, SHARED };

struct op {
	struct handle *h;
	int rank;
	enum sync sync;
	enum pointer ptr;
	bool write;
	int64_t offset; /* etypes; EXPLICIT */
	int64_t pos;	/* bytes of the view's data, where it begins */
	int64_t bytes;	/* asked for */
	int64_t got;	/* bytes that will be transferred */
	uint64_t serial;
	uint64_t memory_seed;
	/* ranges of the file, going up, for conflicts */
	struct ty_piece *ranges;
	size_t nr_ranges, room;
	bool saw_end, extends;
	/* on its own rank */
	struct ty *type;
	int count;
	MPI_Datatype mpi_type;
	MPI_Request request;
	MPI_Status status;
	unsigned char *all, *want, *expect; /* buffer, what must be in it at the end; the file's bytes */
	int64_t all_len, origin;	    /* the buffer's length, and its address 0 */
};

extern int64_t size_at_start; /* of the step */

/* to `doing` */
void describe(const struct op *o);
/* one more of the step, done in the model; NULL: there are too many */
struct op *draw_op(struct handle *h, int rank, enum sync sync, enum pointer ptr, bool write);
/* own accesses in their order; those that use a shared pointer alone take turns */
void run_ops(bool turns);

#endif
