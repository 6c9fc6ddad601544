/* the file: a model of it, and its comparison with what is on the file system; see fuzz.h */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

struct page {
	int64_t index;
	unsigned char data[PAGE];
};

static struct page **pages;
static size_t nr_pages, room_pages;
int64_t size;
bool exists_now;

static struct page **page_slot(int64_t index)
{
	size_t i = mix64((uint64_t)index) & (room_pages - 1);

	while (pages[i] && pages[i]->index != index)
		i = (i + 1) & (room_pages - 1);
	return &pages[i];
}

static void more_pages(void)
{
	struct page **old = pages;
	size_t room = room_pages;

	room_pages = room ? room * 2 : 1024;
	pages = calloc(room_pages, sizeof(struct page *));
	if (!pages)
		fail("no memory");
	for (size_t i = 0; i < room; i++)
		if (old[i])
			*page_slot(old[i]->index) = old[i];
	free(old);
}

static unsigned char *page_of(int64_t index, bool make)
{
	struct page **p;

	if (nr_pages * 2 >= room_pages)
		more_pages();
	p = page_slot(index);
	if (!*p && make) {
		*p = calloc(1, sizeof(**p));
		if (!*p)
			fail("no memory");
		(*p)->index = index;
		nr_pages++;
	}
	return *p ? (*p)->data : NULL;
}

void model_write(int64_t off, const unsigned char *buf, int64_t len)
{
	if (len && off + len > size)
		size = off + len;
	while (len) {
		int64_t n = PAGE - off % PAGE < len ? PAGE - off % PAGE : len;

		memcpy(page_of(off / PAGE, true) + off % PAGE, buf, (size_t)n);
		off += n;
		buf += n;
		len -= n;
	}
}

void model_read(int64_t off, unsigned char *buf, int64_t len)
{
	while (len) {
		int64_t n = PAGE - off % PAGE < len ? PAGE - off % PAGE : len;
		const unsigned char *p = page_of(off / PAGE, false);

		if (p)
			memcpy(buf, p + off % PAGE, (size_t)n);
		else
			memset(buf, 0, (size_t)n);
		off += n;
		buf += n;
		len -= n;
	}
}

void model_resize(int64_t to)
{
	for (size_t i = 0; i < room_pages && to < size; i++) {
		int64_t start = pages[i] ? pages[i]->index * PAGE : 0;

		if (pages[i] && start + PAGE > to)
			memset(pages[i]->data + (to > start ? to - start : 0), 0,
			       (size_t)(to > start ? start + PAGE - to : PAGE));
	}
	size = to;
}

void model_clear(void)
{
	for (size_t i = 0; i < room_pages; i++)
		free(pages[i]);
	free(pages);
	pages = NULL;
	nr_pages = room_pages = 0;
	size = 0;
}

/* byte i of write number w */
void pattern(unsigned char *buf, uint64_t w, int64_t from, int64_t len)
{
	for (int64_t i = 0; i < len; i++) {
		int64_t at = from + i;

		if (at % 8 == 0 && len - i >= 8) {
			uint64_t x = mix64(w << 36 ^ (uint64_t)at >> 3 ^ 0x5bd1e995ull);

			memcpy(buf + i, &x, 8);
			i += 7;
		} else {
			uint64_t x = mix64(w << 36 ^ (uint64_t)at >> 3 ^ 0x5bd1e995ull);

			buf[i] = ((unsigned char *)&x)[at % 8];
		}
	}
}

static void compare_bytes(int64_t off, const unsigned char *got, int64_t len)
{
	static unsigned char want[1 << 16];

	while (len) {
		int64_t n = len < (int64_t)sizeof(want) ? len : (int64_t)sizeof(want);

		model_read(off, want, n);
		for (int64_t i = 0; i < n && memcmp(got, want, (size_t)n) != 0; i++)
			if (got[i] != want[i])
				fail("byte %lld of the file on the PFS is %#x, should be %#x",
				     (long long)(off + i), got[i], want[i]);
		off += n;
		got += n;
		len -= n;
	}
}

static void compare_part(int fd, int64_t off, int64_t len)
{
	static unsigned char buf[1 << 16];

	while (len > 0) {
		ssize_t n = pread(fd, buf, len < (int64_t)sizeof(buf) ? (size_t)len : sizeof(buf), off);

		if (n <= 0)
			fail("read at %lld: %s", (long long)off, n ? strerror(errno) : "the file ends");
		compare_bytes(off, buf, n);
		off += n;
		len -= n;
	}
}

/* rank 0: the file as all the world sees it */
void compare_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	struct stat st;

	snprintf(doing, sizeof(doing), "comparing the file on the PFS");
	if (fd < 0 || fstat(fd, &st) < 0)
		fail("%s: %s", name, strerror(errno));
	if (st.st_size != size)
		fail("the file on the PFS has %lld bytes, should have %lld", (long long)st.st_size,
		     (long long)size);
	for (int64_t off = 0, end; off < size; off = end) {
		off = lseek(fd, off, SEEK_DATA);
		if (off < 0)
			break;
		end = lseek(fd, off, SEEK_HOLE);
		compare_part(fd, off, end - off);
	}
	for (size_t i = 0; i < room_pages; i++) {
		int64_t off = pages[i] ? pages[i]->index * PAGE : 0;

		if (pages[i] && off < size)
			compare_part(fd, off, size - off < PAGE ? size - off : PAGE);
	}
	close(fd);
}
