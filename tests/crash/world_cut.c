/* what a power cut may leave of a world, and what the next agent makes of it */
#include "world_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "agent/file_seen.h"
#include "core/error.h"

#define OTHERS_SIZE 700
#define OTHERS_VALUE 63

struct chooser {
	uint64_t bits;	 /* if there are few choices */
	bool drawn;	 /* else */
	uint64_t random;
};

static bool survives(void *arg)
{
	struct chooser *c = arg;
	bool bit;

	if (!c->drawn) {
		bit = c->bits & 1;
		c->bits >>= 1;
		return bit;
	}
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random >> 40 & 1;
}

static bool never_survives(void *arg)
{
	(void)arg;
	return false;
}

static void read_all(size_t cut)
{
	struct stat st;

	for (unsigned i = 0; i < world.nr_files && !world.flaw[0]; i++) {
		struct pmio_file *f;

		if (!disk_look(world.machine->disk, world.path[i], &st))
			continue;
		f = world_open(0, world.path[i], PMIO_OPEN_READ);
		if (!f)
			return;
		check_read(f, cut);
		world_close(&f);
	}
}

/* what waits, because that was asked for */
static void drain_all(void)
{
	struct agent *a = world.machine->agent;
	union pmio_any_msg msg, reply;
	struct file *f, *tmp;

	HASH_ITER(hh, a->files, f, tmp) {
		int rc;

		if (f->state == PMIO_FILE_CLEAN)
			continue;
		pmio_proto_request(&msg, PMIO_OP_DRAIN, 0);
		msg.drain.slot = f->slot;
		msg.drain.generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
		rc = call(connect_client(0), &msg, -1, &reply, NULL);
		if (rc < 0)
			flaw("drain of slot %u: %s", msg.drain.slot, pmio_strerror(rc));
	}
}

/* what the catalog calls clean would survive another cut, and be taken for the same */
static void check_durable(size_t cut)
{
	struct machine *m = world.machine;
	struct disk *after = disk_cut(m->disk, pmio_pm_record_count(m->pm), never_survives, NULL, m->pm);
	struct stat st;

	check_disk(after, cut, "durable");
	for (struct file *f = m->agent->files; f; f = f->hh.next) {
		if (f->state != PMIO_FILE_CLEAN)
			flaw("%s: not clean, but state %d, error %d", f->path, (int)f->state, f->error);
		else if (!files_is_stale(f) && (!disk_look(after, f->path, &st) || !files_same_as_seen(f, &st)))
			flaw("%s: clean, but not durable", f->path);
	}
	disk_delete(&after);
}

static void check_frames(void)
{
	struct agent *a = world.machine->agent;
	uint64_t nr = pmio_pool_frames_free(a->pool);

	for (struct file *f = a->files; f; f = f->hh.next)
		nr += HASH_COUNT(f->chunks) - f->nr_pfs_chunks;
	if (nr != a->view->nr_frames)
		flaw("%llu frames, not %llu", (unsigned long long)nr, (unsigned long long)a->view->nr_frames);
}

/*
 * A file that others have open while it is deleted may change until the power goes, so that nothing
 * tells it from a later one with its inode's number: known, and left (design.md).
 */
static bool may_be_taken_for_it(unsigned file, size_t cut)
{
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		if (d->kind == DELETE && d->file == file && d->in_use && d->start <= cut && d->end > cut)
			return true;
	}
	return false;
}

/* somebody makes other files of the names that are free: they are none of ours */
static unsigned put_others(bool put, size_t cut)
{
	struct stat st;
	unsigned put_there = 0;

	for (unsigned i = 0; put && i < world.nr_files; i++) {
		if (disk_look(world.machine->disk, world.path[i], &st) || may_be_taken_for_it(i, cut))
			continue;
		disk_put(world.machine->disk, world.path[i], OTHERS_SIZE, OTHERS_VALUE);
		put_there |= 1u << i;
	}
	return put_there;
}

/* they are as they were; and then they go, for what follows */
static void take_others(unsigned put_there)
{
	int dir = disk_open(DISK_DIR, O_RDONLY);
	struct stat st;

	for (unsigned i = 0; i < world.nr_files; i++) {
		const uint8_t *bytes = disk_look(world.machine->disk, world.path[i], &st);

		if (!(put_there >> i & 1))
			continue;
		if (!bytes || st.st_size != OTHERS_SIZE || bytes[0] != OTHERS_VALUE)
			flaw("%s: a file of somebody else was changed", world.path[i]);
		else
			disk_unlink(world.path[i]);
	}
	disk_fsync(dir);
	disk_close(dir);
}

static void look_after(size_t cut, bool hold, bool with_others)
{
	unsigned others = put_others(with_others, cut);

	start_agent(hold);
	if (world.flaw[0])
		return;
	world_idle();
	if (hold && !others && world.params.nr_slots >= world.nr_files) /* for what waits makes no room */
		read_all(cut);
	drain_all();
	world_idle();
	if (others)
		take_others(others);
	check_disk(world.machine->disk, cut, "drained");
	check_durable(cut);
	read_all(cut);
	world_idle();
	check_frames();
}

struct looker {
	const struct world_limits *limits;
	struct machine *m;
	unsigned depth;
	size_t first_cut, last_cut; /* depth > 0: the promises are those of first_cut */
	unsigned nr_choices;	    /* at last_cut */
	unsigned long every; /* looked at is one of so many images */
	unsigned long nr_looks;
	uint64_t random;
	unsigned long *nr;
};

static int look_at_image(const void *image, size_t size, size_t cut, void *arg);

static void look_nested(struct looker *l, struct machine *m, size_t cut)
{
	struct world_limits few = { .images = 2, .variants = 2, .seed = l->limits->seed };
	size_t cuts = pmio_pm_record_count(m->pm);
	struct looker inner = { .limits = &few, .m = m, .depth = 1, .first_cut = cut,
				.every = cuts / 25 + 1, .random = *l->nr, .nr = l->nr };

	if (l->depth > 0 || l->limits->nested == 0 || ++l->nr_looks % l->limits->nested)
		return;
	pmio_pm_record_images(m->pm, few.images, few.seed, look_at_image, &inner);
}

static void look_at_variant(struct looker *l, const void *image, size_t cut, struct chooser *c)
{
	size_t promised = l->depth ? l->first_cut : cut;
	struct pmio_pm *pm = pmio_pm_record_like(l->m->pm, image);
	struct machine *m = new_machine(pm, disk_cut(l->m->disk, cut, survives, c, pm),
					catalog_model_cut(l->m->catalog, cut, pm));
	bool with_others;

	use_machine(m);
	++*l->nr;
	with_others = l->depth == 0 && *l->nr % 3 == 0;
	look_after(promised, *l->nr % 4 == 0, with_others);
	kill_agent(m);
	if (!world.flaw[0] && !with_others)
		look_nested(l, m, promised);
	free_machine(m);
	use_machine(l->m);
}

static int look_at_image(const void *image, size_t size, size_t cut, void *arg)
{
	struct looker *l = arg;
	unsigned variants = l->limits->variants;
	bool few;

	(void)size;
	l->random = l->random * 6364136223846793005ULL + 1442695040888963407ULL;
	if ((l->random >> 33) % l->every)
		return 0;
	if (cut != l->last_cut)
		l->nr_choices = disk_choices(l->m->disk, cut);
	l->last_cut = cut;
	few = l->nr_choices < 16 && 1u << l->nr_choices <= variants;
	if (few)
		variants = 1u << l->nr_choices;
	for (unsigned i = 0; i < variants && !world.flaw[0]; i++) {
		struct chooser c = { .bits = i == 1 && !few ? ~0ULL : i, .drawn = i > 1 && !few };

		c.random = l->limits->seed * 0x9e3779b97f4a7c15ULL + cut * 64 + i + 1;
		look_at_variant(l, image, cut, &c);
		if (world.flaw[0] && l->depth == 0) {
			size_t n = strlen(world.flaw);

			snprintf(world.flaw + n, sizeof(world.flaw) - n, " (cut %zu, look %lu)", cut, *l->nr);
		}
	}
	return world.flaw[0] != '\0';
}

static int count_image(const void *image, size_t size, size_t cut, void *arg)
{
	(void)image, (void)size, (void)cut;
	++*(unsigned long *)arg;
	return 0;
}

static void show_deeds(void)
{
	static const char *const kinds[] = { "write", "cut", "make", "delete" };

	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		fprintf(stderr, "# deed %u: %s %s %llu %llu, operations %zu to %zd\n", i, kinds[d->kind],
			world.path[d->file], (unsigned long long)d->off, (unsigned long long)d->len,
			d->start, (ssize_t)d->end);
	}
}

const char *world_cut(const struct world_limits *limits, unsigned long *nr)
{
	struct looker l = { .limits = limits, .m = world.machine, .every = 1,
			    .random = limits->seed, .nr = nr };
	struct pmio_pm *pm = world.machine->pm;
	unsigned long images = 0;

	if (!world.flaw[0])
		world_idle();
	disk_set_hook(NULL);
	world.late = false; /* what looks does changes no promise */
	pmio_pm_record_mark(pm); /* a cut when all is over */
	kill_agent(world.machine);
	if (world.flaw[0])
		return world.flaw;
	pmio_pm_record_images(pm, limits->images, limits->seed, count_image, &images);
	if (images * limits->variants > limits->looks)
		l.every = (images * limits->variants + limits->looks - 1) / limits->looks;
	pmio_pm_record_images(pm, limits->images, limits->seed, look_at_image, &l);
	if (world.flaw[0] && getenv("WORLD_LOG"))
		show_deeds();
	return world.flaw[0] ? world.flaw : NULL;
}
