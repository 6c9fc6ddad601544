/*
 * exchange.c -- small pieces of collective calls are sent by MPI to ranks of the nodes that
 * hold them
 *
 * A rank sends its request for pieces that another node holds to a rank there, which copies
 * them to or from its own pool and answers.  No rank knows how many requests it will get: a
 * rank that has all answers to its own requests enters a nonblocking barrier, and serves others
 * until all have entered it (sparse exchange with nonblocking consensus: Hoefler, Siebert,
 * Lumsdaine, "Scalable communication protocols for dynamic sparse data exchange", PPoPP
 * 2010).  So ranks get messages only from ranks that have requests for them, and no rank
 * holds more than OUTGOING_MAX messages.
 *
 * A write is durable before it is answered; the pieces are written as they are, without
 * reading the bytes between them.
 */
#include "engine.h"
#include "flat.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "remote/remote.h"

#define OUTGOING_MAX 8
#define DATA_MAX (48u << 10)	/* bytes of pieces in one message */
#define PIECES_MAX 8192u
#define LARGE (1u << 20)	/* pieces of this average length or more go directly to their target (see bench/remote) */
#define TAG_REQUEST 1024	/* an adapter's own messages on the file's communicator have other tags */
#define TAG_ANSWER 1025		/* plus the number of the request */

struct range {
	uint64_t off, len;
};

struct exchange_request {
	uint32_t number, nr, len, write; /* nr: ranges, which come after the data of a write */
	uint8_t data[];
};
#define REQUEST_MAX (sizeof(struct exchange_request) + DATA_MAX + PIECES_MAX * sizeof(struct range))

struct exchange_answer {
	int64_t rc;	/* bytes, or an error */
	uint8_t data[];	/* of a read */
};
_Static_assert(sizeof(struct range) == 16 && sizeof(struct exchange_request) == 16 && sizeof(struct exchange_answer) == 8, "as they are sent");
#define ANSWER_MAX (sizeof(struct exchange_answer) + DATA_MAX)

/* the memory that one request needs, half a MiB */
struct buffers {
	struct buffers *next;
	struct exchange_request *request;   /* owned; REQUEST_MAX bytes */
	struct exchange_answer *answer;	   /* owned; ANSWER_MAX bytes */
	struct pmio_piece *pieces; /* owned; PIECES_MAX: of a read, for the answer */
	struct range *ranges;	   /* owned; PIECES_MAX: the same in the file, adjacent ones joined */
};

/* a request under way */
struct outgoing {
	bool busy;
	MPI_Request mpi[2];	/* the message sent, the answer to come */
	struct buffers *b;	/* owned; NULL: none since the call began */
	size_t nr_pieces;
};

struct exchange {
	struct pmio_file *file;	/* the handle's own */
	MPI_Comm comm;		/* likewise */
	int rank;
	uint32_t nr_targets, own; /* own: index of this node's; nr_targets: it has none */
	uint32_t *first;	/* owned; of target t: ranks[first[t]] up to ranks[first[t + 1]] */
	int *ranks;		/* owned */
	struct outgoing outgoing[OUTGOING_MAX];
	struct buffers *taken;	/* owned; for requests of other ranks: allocated at the start, as these must be answered */
	bool serving;		/* the file's current operation is for another rank */
	int rc;			/* of the requests that have ended: 0, 1 (a read met the end of the file) or an error */
};

/* ---- making an exchange --------------------------------------------------------------------------- */

static void free_buffers(struct buffers *b)
{
	if (b) {
		free(b->request);
		free(b->answer);
		free(b->pieces);
		free(b->ranges);
	}
	free(b);
}

/* NULL: out of memory */
static struct buffers *new_buffers(void)
{
	struct buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->request = malloc(REQUEST_MAX);
	b->answer = malloc(ANSWER_MAX);
	b->pieces = malloc(PIECES_MAX * sizeof(*b->pieces));
	b->ranges = malloc(PIECES_MAX * sizeof(*b->ranges));
	if (b->request && b->answer && b->pieces && b->ranges)
		return b;
	free_buffers(b);
	return NULL;
}

/* buffers of requests are shared in the process: a file has some only during a call, and there are few calls at a time */
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buffers *spare; /* under spare_lock; owned; not more than OUTGOING_MAX */
static unsigned nr_spare, nr_users; /* likewise; users: exchanges */

static struct buffers *take_buffers(void)
{
	struct buffers *b;

	pthread_mutex_lock(&spare_lock);
	b = spare;
	if (b) {
		spare = b->next;
		nr_spare--;
	}
	pthread_mutex_unlock(&spare_lock);
	return b ? b : new_buffers();
}

static void give_back(struct buffers *b)
{
	pthread_mutex_lock(&spare_lock);
	if (nr_spare < OUTGOING_MAX) {
		b->next = spare;
		spare = b;
		nr_spare++;
		b = NULL;
	}
	pthread_mutex_unlock(&spare_lock);
	free_buffers(b);
}

/* change the number of exchanges by n; the last one frees the spare buffers */
static void count_users(int n)
{
	struct buffers *b = NULL, *next;

	pthread_mutex_lock(&spare_lock);
	nr_users += (unsigned)n;
	if (nr_users == 0) {
		b = spare;
		spare = NULL;
		nr_spare = 0;
	}
	pthread_mutex_unlock(&spare_lock);
	for (; b; b = next) {
		next = b->next;
		free_buffers(b);
	}
}

void engine_exchange_free(struct exchange *x)
{
	if (!x)
		return;
	for (int i = 0; i < OUTGOING_MAX; i++)
		free_buffers(x->outgoing[i].b);
	free(x->first);
	free(x->ranks);
	free_buffers(x->taken);
	free(x);
	count_users(-1);
}

/* this rank alone; NULL: out of memory */
static struct exchange *new_exchange(struct pmio_mpi_file *f)
{
	struct exchange *x = calloc(1, sizeof(*x));
	int nr;

	if (!x)
		return NULL;
	count_users(1);
	x->file = f->file;
	x->comm = f->comm;
	x->nr_targets = remote_layout_of(f->file)->nr;
	x->own = remote_striped_own(f->file);
	if (x->own > x->nr_targets)
		x->own = x->nr_targets;
	PMPI_Comm_rank(x->comm, &x->rank);
	PMPI_Comm_size(x->comm, &nr);
	x->first = calloc(x->nr_targets + 2, sizeof(*x->first));
	x->ranks = calloc((size_t)nr, sizeof(*x->ranks));
	x->taken = new_buffers();
	if (!x->first || !x->ranks || !x->taken) {
		engine_exchange_free(x);
		return NULL;
	}
	return x;
}

/* find the ranks of each node; collective */
static int find_ranks(struct exchange *x)
{
	uint32_t *own;
	int nr, rc;

	PMPI_Comm_size(x->comm, &nr);
	own = malloc((size_t)nr * sizeof(*own));
	rc = own ? 0 : -ENOMEM;
	PMPI_Allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT, MPI_MIN, x->comm);
	if (rc == 0) {
		PMPI_Allgather(&x->own, 1, MPI_UINT32_T, own, 1, MPI_UINT32_T, x->comm);
		/* first[t + 1]: the number of ranks before those of t, then before those of the next target */
		for (int i = 0; i < nr; i++) {
			if (own[i] < x->nr_targets)
				x->first[own[i] + 2]++;
		}
		for (uint32_t t = 1; t <= x->nr_targets; t++)
			x->first[t + 1] += x->first[t];
		for (int i = 0; i < nr; i++) {
			if (own[i] < x->nr_targets)
				x->ranks[x->first[own[i] + 1]++] = i;
		}
	}
	free(own);
	return rc;
}

/* is it worthwhile for this rank, with its settings and its view? */
static bool is_wanted(const struct pmio_mpi_file *f)
{
	const struct flat *fl = f->view.fl;

	if (f->settings.num[PMIO_SET_COLLECTIVE] != PMIO_COLLECTIVE_AUTO)
		return f->settings.num[PMIO_SET_COLLECTIVE] == PMIO_COLLECTIVE_AGGREGATE;
	return fl && fl->nr && fl->size / fl->nr < LARGE;
}

int engine_choose_exchange(struct pmio_mpi_file *f)
{
	const struct remote_layout *layout = f->on_nodes ? remote_layout_of(f->file) : NULL;
	int all, rc = 0;

	f->exchanges = false;
	if (!layout || layout->nr < 2 || layout->nr_memory == layout->nr)
		return 0; /* the same on all ranks */
	all = is_wanted(f);
	PMPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, f->comm);
	if (!all)
		return 0;
	if (!f->exchange) {
		f->exchange = new_exchange(f);
		rc = f->exchange ? 0 : -ENOMEM;
		PMPI_Allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT, MPI_MIN, f->comm);
		if (rc == 0)
			rc = find_ranks(f->exchange);
	}
	if (rc < 0) {
		engine_exchange_free(f->exchange);
		f->exchange = NULL;
		return rc;
	}
	f->exchanges = true;
	return 0;
}

/* ---- requests of other ranks ----------------------------------------------------------------------------- */

/* convert its ranges to pieces at data; false: it is not a valid request */
static bool take_apart(const struct exchange_request *r, size_t len, uint8_t *data, struct pmio_piece *pieces)
{
	const uint8_t *list = r->data + (r->write ? r->len : 0);
	uint64_t sum = 0;

	if (len < sizeof(*r) || r->nr > PIECES_MAX || r->len > DATA_MAX || r->number >= OUTGOING_MAX ||
	    len != sizeof(*r) + (r->write ? r->len : 0) + r->nr * sizeof(struct range))
		return false;
	for (uint32_t i = 0; i < r->nr; i++) {
		struct range g;

		memcpy(&g, list + i * sizeof(g), sizeof(g));
		if (g.len > r->len - sum || g.off > INT64_MAX - g.len)
			return false;
		pieces[i] = (struct pmio_piece){ .off = (off_t)g.off, .buf = data + sum, .len = g.len };
		sum += g.len;
	}
	return sum == r->len;
}

/* serve one request, if there is one; returns whether there was one */
static bool serve(struct exchange *x)
{
	struct exchange_request *r = x->taken->request;
	struct exchange_answer *a = x->taken->answer;
	struct pmio_piece *pieces = x->taken->pieces;
	MPI_Message message;
	MPI_Status status;
	int found = 0, len = 0;
	size_t back = 0;

	if (PMPI_Improbe(MPI_ANY_SOURCE, TAG_REQUEST, x->comm, &found, &message, &status) != MPI_SUCCESS || !found)
		return false;
	PMPI_Mrecv(r, (int)REQUEST_MAX, MPI_BYTE, &message, &status);
	PMPI_Get_count(&status, MPI_BYTE, &len);
	a->rc = PMIO_EPROTO;
	if (take_apart(r, (size_t)len, r->write ? r->data : a->data, pieces)) {
		x->serving = true;
		a->rc = r->write ? pmio_writex(x->file, pieces, r->nr) : pmio_readx(x->file, pieces, r->nr);
		x->serving = false;
		back = r->write || a->rc < 0 ? 0 : (size_t)a->rc;
	}
	/* the other rank waits for it with a receive */
	PMPI_Send(a, (int)(sizeof(*a) + back), MPI_BYTE, status.MPI_SOURCE, TAG_ANSWER + (int)r->number, x->comm);
	return true;
}

/* ---- this rank's own requests --------------------------------------------------------------------------- */

static void scatter(const struct outgoing *s)
{
	const struct pmio_piece *pieces = s->b->pieces;
	const uint8_t *from = s->b->answer->data;

	for (size_t i = 0; i < s->nr_pieces; i++) {
		memcpy(pieces[i].buf, from, pieces[i].len);
		from += pieces[i].len;
	}
}

static void end_outgoing(struct exchange *x, struct outgoing *s, int len)
{
	const struct exchange_request *r = s->b->request;
	const struct exchange_answer *a = s->b->answer;
	int64_t rc = len >= (int)sizeof(*a) ? a->rc : PMIO_EPROTO;

	s->busy = false;
	if (rc >= 0 && ((uint64_t)rc > r->len || (size_t)len != sizeof(*a) + (r->write ? 0 : (size_t)rc)))
		rc = PMIO_EPROTO;
	if (rc < 0 && x->rc >= 0)
		x->rc = (int)rc;
	else if (rc >= 0 && (uint64_t)rc < r->len && x->rc == 0)
		x->rc = r->write ? -EIO : 1;
	else if (rc >= 0 && !r->write && x->rc == 0)
		scatter(s);
}

/* do what is possible without waiting; returns the number of requests under way */
static unsigned progress(struct exchange *x)
{
	unsigned busy = 0;

	serve(x);
	for (int i = 0; i < OUTGOING_MAX; i++) {
		struct outgoing *s = &x->outgoing[i];
		MPI_Status status[2];
		int done = 0, len = 0;

		if (!s->busy)
			continue;
		if (PMPI_Testall(2, s->mpi, &done, status) != MPI_SUCCESS)
			done = 1;
		else if (done)
			PMPI_Get_count(&status[1], MPI_BYTE, &len);
		if (done)
			end_outgoing(x, s, len);
		busy += !done;
	}
	return busy;
}

static bool has_buffers(const struct exchange *x)
{
	bool has = false;

	for (int i = 0; i < OUTGOING_MAX; i++)
		has |= x->outgoing[i].b != NULL;
	return has;
}

/* NULL: out of memory for the first one */
static struct outgoing *get_outgoing(struct exchange *x)
{
	do {
		struct outgoing *bare = NULL;

		for (int i = 0; i < OUTGOING_MAX; i++) {
			struct outgoing *s = &x->outgoing[i];

			if (s->b && !s->busy)
				return s;
			if (!s->b && !bare)
				bare = s;
		}
		if (bare)
			bare->b = take_buffers();
		if (bare && bare->b)
			return bare;
		progress(x);
	} while (has_buffers(x));
	return NULL;
}

/* add pieces as long as the message has room */
static void fill_outgoing(struct outgoing *s, const struct pmio_piece **p, const struct pmio_piece *end, size_t *done, bool write)
{
	struct exchange_request *r = s->b->request;
	struct range *ranges = s->b->ranges, *last = ranges - 1;

	s->nr_pieces = 0;
	r->write = write;
	r->len = 0;
	for (; *p < end && r->len < DATA_MAX && s->nr_pieces < PIECES_MAX; s->nr_pieces++) {
		size_t n = (*p)->len - *done;
		uint64_t off = (uint64_t)(*p)->off + *done;
		uint8_t *buf = (uint8_t *)(*p)->buf + *done;

		if (n > DATA_MAX - r->len)
			n = DATA_MAX - r->len;
		if (write)
			memcpy(r->data + r->len, buf, n);
		else
			s->b->pieces[s->nr_pieces] = (struct pmio_piece){ .off = (off_t)off, .buf = buf, .len = n };
		if (last >= ranges && last->off + last->len == off)
			last->len += n;
		else
			*++last = (struct range){ off, n };
		r->len += (uint32_t)n;
		*done += n;
		if (*done == (*p)->len) {
			(*p)++;
			*done = 0;
		}
	}
	r->nr = (uint32_t)(last + 1 - ranges);
	memcpy(r->data + (write ? r->len : 0), ranges, r->nr * sizeof(*ranges));
}

static int send_outgoing(struct exchange *x, struct outgoing *s, int to)
{
	struct exchange_request *r = s->b->request;
	size_t len = sizeof(*r) + (r->write ? r->len : 0) + r->nr * sizeof(struct range);
	int tag;

	r->number = (uint32_t)(s - x->outgoing);
	tag = TAG_ANSWER + (int)r->number;
	if (PMPI_Irecv(s->b->answer, (int)ANSWER_MAX, MPI_BYTE, to, tag, x->comm, &s->mpi[1]) != MPI_SUCCESS ||
	    PMPI_Isend(r, (int)len, MPI_BYTE, to, TAG_REQUEST, x->comm, &s->mpi[0]) != MPI_SUCCESS)
		return -EIO;
	s->busy = true;
	return 0;
}

static int post(void *arg, uint32_t holder, const struct pmio_piece *pieces, size_t nr, uint64_t bytes, bool write)
{
	struct exchange *x = arg;
	uint32_t there = x->first[holder + 1] - x->first[holder];
	const struct pmio_piece *p = pieces, *end = pieces + nr;
	size_t done = 0;
	int rc = 0;

	if (x->serving || there == 0 || bytes / nr >= LARGE || !get_outgoing(x))
		return -EOPNOTSUPP;
	while (p < end && rc == 0) {
		struct outgoing *s = get_outgoing(x);

		fill_outgoing(s, &p, end, &done, write);
		rc = send_outgoing(x, s, x->ranks[x->first[holder] + (uint32_t)x->rank % there]);
	}
	return rc;
}

static int finish(void *arg)
{
	struct exchange *x = arg;
	int rc;

	if (x->serving)
		return 0;
	while (progress(x))
		;
	rc = x->rc;
	x->rc = 0;
	return rc;
}

void engine_exchange_begin(struct exchange *x)
{
	static const struct remote_transport transport = { .post = post, .finish = finish };

	remote_striped_use_transport(x->file, &transport, x);
}

/* this rank has its answers: serve others until all have theirs */
static void serve_all(struct exchange *x)
{
	MPI_Request barrier;
	int all = 0;

	if (PMPI_Ibarrier(x->comm, &barrier) != MPI_SUCCESS)
		return;
	while (!all) {
		serve(x);
		PMPI_Test(&barrier, &all, MPI_STATUS_IGNORE);
	}
}

void engine_exchange_end(struct exchange *x)
{
	finish(x); /* after an error: end those that are still under way */
	for (int i = 0; i < OUTGOING_MAX; i++) {
		if (x->outgoing[i].b)
			give_back(x->outgoing[i].b);
		x->outgoing[i].b = NULL;
	}
	serve_all(x);
	remote_striped_use_transport(NULL, NULL, NULL);
}
