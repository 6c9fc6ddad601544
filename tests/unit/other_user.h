/*
 * other_user.h -- another user, in a folder where all may make files; after sites.h
 */
#ifndef PMIO_TESTS_UNIT_OTHER_USER_H
#define PMIO_TESTS_UNIT_OTHER_USER_H

#define STRANGER 65534
#define SOMEBODY 65533 /* whose endpoint descriptor it is */

/* false: we cannot be several users */
static inline bool have_shared_folder(void)
{
	const char *folder = scratch_file(&root, "shared");

	return geteuid() == 0 && (mkdir(folder, 0700) == 0 || errno == EEXIST) && chmod(folder, 01777) == 0 &&
	       chmod(root.path, 0711) == 0;
}

static inline void give_to_stranger(const char *name)
{
	assert_int_equal(chown(name, STRANGER, STRANGER), 0);
}

#endif
