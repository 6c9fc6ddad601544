/* p4est_client.c -- p4est_client FILE: a forest is saved, by stdio and MPI-IO, loaded by stdio, and is the same */
#include <p4est_bits.h>
#include <p4est_extended.h>
#include <stdio.h>

/* finer where the quadrants' parents have the same parity in both directions */
static int is_finer(p4est_t *forest, p4est_topidx_t tree, p4est_quadrant_t *q)
{
	(void)forest;
	return q->level < 4 + tree % 2 && p4est_quadrant_child_id(q) % 3 == 0;
}

int main(int argc, char **argv)
{
	p4est_connectivity_t *shape, *loaded_shape;
	p4est_t *forest, *loaded;
	int same;

	MPI_Init(&argc, &argv);
	sc_init(MPI_COMM_WORLD, 1, 1, NULL, SC_LP_ERROR);
	p4est_init(NULL, SC_LP_ERROR);
	shape = p4est_connectivity_new_brick(3, 2, 0, 0);
	forest = p4est_new_ext(MPI_COMM_WORLD, shape, 0, 2, 1, 0, NULL, NULL);
	p4est_refine(forest, 1, is_finer, NULL);
	p4est_partition(forest, 0, NULL);
	p4est_save(argv[1], forest, 0);
	loaded = p4est_load(argv[1], MPI_COMM_WORLD, 0, 0, NULL, &loaded_shape);
	same = p4est_is_equal(forest, loaded, 0) && p4est_connectivity_is_equal(shape, loaded_shape);
	if (!same)
		fprintf(stderr, "p4est_client: what was loaded is not what was saved\n");
	p4est_destroy(loaded);
	p4est_destroy(forest);
	p4est_connectivity_destroy(loaded_shape);
	p4est_connectivity_destroy(shape);
	sc_finalize();
	MPI_Finalize();
	return !same;
}
