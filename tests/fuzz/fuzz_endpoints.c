/*
 * fuzz_endpoints.c -- any text as an endpoint descriptor, or as a layout file: libFuzzer target
 *
 * Whatever is let pass must be within its bounds, mean the same when it is written and read again, and
 * say where its dirty marks are.  Others cannot write these files, but a file system may have
 * half of one, or an earlier version's.
 *
 * Input: the first byte says which of the two it is, and whether the rest is the text itself, or
 * changes to a good one: a 16-bit place, what to do there, and a byte for it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/remote_impl.h"

#define TEXT_MAX 8192
#define BORN "1764126711.000000183"
#define NR_TARGETS 3

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char good_endpoint[TEXT_MAX], good_layout[TEXT_MAX];

static void need(int good)
{
	if (!good)
		abort();
}

/* ---- what descriptor_file.c and layout_file.c need of the rest of lib/remote; none of it is reached ----------------- */

int pmio_fabric_random(void *bytes, size_t len)
{
	memset(bytes, 7, len);
	return 0;
}

struct node *node_get(const struct pmio_settings *settings, const struct remote_endpoint *endpoint)
{
	(void)settings, (void)endpoint;
	abort();
}

int node_ask(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room, size_t *answer_len)
{
	(void)n, (void)msg, (void)len, (void)op, (void)answer, (void)room, (void)answer_len;
	abort();
}

int node_joined(struct node *n, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file)
{
	(void)n, (void)layout, (void)number, (void)layout_file;
	abort();
}

void node_left(struct node *n, uint64_t number, bool known, enum remote_keep keep)
{
	(void)n, (void)number, (void)known, (void)keep;
	abort();
}

int node_claim(struct node *n, struct remote_claim_msg *m, struct remote_claim_answer_msg *a)
{
	(void)n, (void)m, (void)a;
	abort();
}

int node_probe(const struct remote_endpoint *endpoint, unsigned timeout_ms)
{
	(void)endpoint, (void)timeout_ms;
	abort();
}

int remote_delete(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path)
{
	(void)settings, (void)endpoint, (void)path;
	abort();
}

/* ---- good ones --------------------------------------------------------------------------------------- */

static void fill_endpoint(struct remote_endpoint *c, unsigned seed)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->host, sizeof(c->host), "n%u", seed);
	strcpy(c->fabric.provider, "tcp;ofi_rxm");
	c->fabric.epoch = 0xf123456789abcdefULL * (seed + 1);
	c->fabric.addr_len = 16;
	memset(c->fabric.addr, (int)seed, c->fabric.addr_len);
	memset(c->key, (int)seed + 1, sizeof(c->key));
	memset(c->uuid, (int)seed + 2, sizeof(c->uuid));
	c->chunk_size = 1 << 20;
	c->liveness = 7001;
}

static void write_text(char text[TEXT_MAX], const struct remote_endpoint *endpoint, const struct remote_layout *layout)
{
	FILE *out = fmemopen(text, TEXT_MAX, "w");

	if (!out)
		abort();
	if (endpoint)
		remote_endpoint_write(out, endpoint);
	else
		layout_file_write(out, "/pfs/out.h5", BORN, layout);
	fclose(out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct remote_endpoint endpoints[NR_TARGETS];
	struct remote_layout layout = { .placement = PMIO_PLACE_STRIPED, .nr = NR_TARGETS, .nr_memory = 1, .endpoints = endpoints };

	(void)argc, (void)argv;
	pmio_log_set_level(PMIO_LOG_NONE);
	memset(layout.id, 0x5f, sizeof(layout.id));
	for (unsigned i = 0; i < NR_TARGETS; i++)
		fill_endpoint(&endpoints[i], i);
	write_text(good_endpoint, &endpoints[0], NULL);
	write_text(good_layout, NULL, &layout);
	return 0;
}

/* ---- the text of an input -------------------------------------------------------------------------------- */

static void insert(char *text, size_t at, const char *what, size_t len)
{
	size_t old = strlen(text);

	if (old + len >= TEXT_MAX)
		return;
	memmove(text + at + len, text + at, old - at + 1);
	memcpy(text + at, what, len);
}

static void insert_line(char *text, size_t at)
{
	char line[256];
	size_t start = at, len;

	while (start && text[start - 1] != '\n')
		start--;
	len = strcspn(text + start, "\n");
	len = len + (text[start + len] == '\n');
	if (len > sizeof(line))
		return;
	memcpy(line, text + start, len);
	insert(text, start, line, len);
}

static void cut(char *text, size_t at, size_t len)
{
	size_t old = strlen(text);

	len = len > old - at ? old - at : len;
	memmove(text + at, text + at + len, old - at - len + 1);
}

static void change(char *text, const uint8_t edit[4])
{
	static const char *const words[] = {
		"[use]\n", "[target]\n", "[end]\n", "waits = yes\n", "waits = no \n", "host = ", "targets = ", "memory = ", " ;", "\n ",
		"65536", "18446744073709551616", "-1", "=", "\xef\xbb\xbf", "placement = single\n", "born = ",
	};
	size_t len = strlen(text), at = (size_t)(edit[0] | edit[1] << 8) % (len + 1);
	const char *word = words[edit[3] % (sizeof(words) / sizeof(words[0]))];
	char c = (char)edit[3];

	switch (edit[2] % 5) {
	case 0:
		if (at < len && c)
			text[at] = c;
		break;
	case 1:
		if (c)
			insert(text, at, &c, 1);
		break;
	case 2:
		cut(text, at, edit[3]);
		break;
	case 3:
		insert(text, at, word, strlen(word));
		break;
	case 4:
		insert_line(text, at);
		break;
	}
}

static void make_text(char text[TEXT_MAX], const char *good, bool changes, const uint8_t *data, size_t size)
{
	if (changes) {
		strcpy(text, good);
		for (; size >= 4; data += 4, size -= 4)
			change(text, data);
		return;
	}
	size = size < TEXT_MAX ? size : TEXT_MAX - 1;
	memcpy(text, data, size);
	text[size] = '\0';
}

/* ---- looking at what was let pass --------------------------------------------------------------------------- */

static void look_at_endpoint(const struct remote_endpoint *c)
{
	need(c->fabric.addr_len <= PMIO_FABRIC_ADDR_MAX);
	need(memchr(c->host, 0, sizeof(c->host)) && memchr(c->fabric.provider, 0, sizeof(c->fabric.provider)));
	need(c->chunk_size != 0);
}

/* but for names, from whose ends blanks may have been cut */
static void need_same(const struct remote_endpoint *a, const struct remote_endpoint *b)
{
	need(a->fabric.epoch == b->fabric.epoch && a->fabric.addr_len == b->fabric.addr_len);
	need(memcmp(a->fabric.addr, b->fabric.addr, a->fabric.addr_len) == 0);
	need(memcmp(a->key, b->key, sizeof(a->key)) == 0 && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0);
	need(a->chunk_size == b->chunk_size && a->liveness == b->liveness && a->dirty == b->dirty);
}

static void try_endpoint(const char *text)
{
	static char again[TEXT_MAX];
	struct remote_endpoint c, back;

	if (remote_endpoint_parse(text, &c) != 0)
		return;
	look_at_endpoint(&c);
	write_text(again, &c, NULL);
	need(remote_endpoint_parse(again, &back) == 0);
	need_same(&c, &back);
}

static void look_at_layout(const char *text, const struct remote_layout *layout)
{
	static char again[TEXT_MAX];
	struct remote_layout back;
	bool dirty = false;
	int rc;

	need(layout->nr >= 1 && layout->nr <= REMOTE_TARGETS_MAX && layout->nr_memory <= layout->nr && layout->endpoints);
	need(layout->placement > PMIO_PLACE_AUTO && layout->placement <= PMIO_PLACE_SINGLE);
	for (uint32_t i = 0; i < layout->nr; i++) {
		look_at_endpoint(&layout->endpoints[i]);
		dirty |= layout->endpoints[i].dirty;
		need(layout_file_mark_of(text, i) >= 0 && layout_file_mark_of(text, i) <= (off_t)strlen(text));
	}
	if (layout->nr > 4) /* it may not have room in the buffer */
		return;
	write_text(again, NULL, layout);
	rc = layout_file_parse(again, BORN, &back);
	need(rc == (dirty ? -EBUSY : 0));
	need(back.nr == layout->nr && back.nr_memory == layout->nr_memory && back.placement == layout->placement);
	need(memcmp(back.id, layout->id, sizeof(layout->id)) == 0);
	for (uint32_t i = 0; i < layout->nr; i++) {
		need_same(&layout->endpoints[i], &back.endpoints[i]);
		need(layout_file_mark_of(again, i) != 0);
	}
	remote_layout_fini(&back);
}

static void try_owner(const char *text)
{
	struct remote_layout layout;
	int rc = layout_file_parse(text, BORN, &layout);

	if (rc == 0 || rc == -EBUSY || rc == -ESTALE)
		look_at_layout(text, &layout);
	else
		need(layout.nr == 0 && !layout.endpoints && (rc == -EAGAIN || rc == PMIO_EPROTO));
	remote_layout_fini(&layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[TEXT_MAX];
	bool layout_file, changes;

	if (size == 0)
		return 0;
	layout_file = data[0] & 1;
	changes = data[0] & 2;
	make_text(text, layout_file ? good_layout : good_endpoint, changes, data + 1, size - 1);
	if (layout_file)
		try_owner(text);
	else
		try_endpoint(text);
	return 0;
}
