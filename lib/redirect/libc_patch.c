/*
 * libc_patch.c -- intercepting the C library's internal calls
 *
 * stdio, and much else in the C library, calls other functions of the library without the dynamic symbols.  So the first
 * bytes of each function that is replaced are overwritten by a jump.  The original code is no longer needed: the
 * functions that replace it call the kernel themselves, so no instruction has to be moved.
 */
#include "redirect/redirect.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const struct redirect_entry __start_redirect_entries[], __stop_redirect_entries[] __attribute__((visibility("hidden")));

#define PATCHES_MAX 256

struct patch {
	uint8_t *at;
	const void *to;
};

/* jump: to the address that follows it; landing: the instruction that indirect calls may require, which stays */
#if defined(__x86_64__)
static const uint8_t jump[6] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip) */
static const uint8_t landing[4] = { 0xf3, 0x0f, 0x1e, 0xfa }; /* endbr64 */
#elif defined(__aarch64__)
static const uint8_t jump[8] = { 0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6 }; /* ldr x16, 8 bytes from here; br x16 */
static const uint8_t landing[4] = { 0x5f, 0x24, 0x03, 0xd5 }; /* bti c */
#endif

#define JUMP_LEN (sizeof(jump) + sizeof(void *))

/* the C library's dynamic symbols, as the loader finds them; dlsym() and dladdr() take much longer */
struct symbols {
	uintptr_t base;
	const ElfW(Sym) *symbols;
	const char *strings;
	const ElfW(Half) *versions;
	const uint32_t *hash; /* DT_GNU_HASH */
};

static bool read_symbols(const struct link_map *map, struct symbols *out)
{
	*out = (struct symbols){ .base = map->l_addr };
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		const void *p = (const void *)d->d_un.d_ptr;

		switch (d->d_tag) {
		case DT_SYMTAB:
			out->symbols = p;
			break;
		case DT_STRTAB:
			out->strings = p;
			break;
		case DT_VERSYM:
			out->versions = p;
			break;
		case DT_GNU_HASH:
			out->hash = p;
			break;
		default:
			break;
		}
	}
	return out->symbols && out->strings && out->versions && out->hash;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h;
}

#define HIDDEN 0x8000 /* of an old version of the symbol */

static const ElfW(Sym) *find_symbol(const struct symbols *s, const char *name)
{
	uint32_t nr_buckets = s->hash[0], first = s->hash[1], nr_words = s->hash[2], h = hash_of(name);
	const uint32_t *buckets = s->hash + 4 + nr_words * (sizeof(ElfW(Addr)) / 4), *chains = buckets + nr_buckets;
	uint32_t i = buckets[h % nr_buckets];

	for (; i >= first; i++) {
		uint32_t chain = chains[i - first];

		if ((chain | 1) == (h | 1) && !(s->versions[i] & HIDDEN) && strcmp(s->strings + s->symbols[i].st_name, name) == 0)
			return &s->symbols[i];
		if (chain & 1)
			break;
	}
	return NULL;
}

/* where the function is to be overwritten; NULL: there is none of that name, or it is too short */
static uint8_t *find(const struct symbols *s, const char *name)
{
	const ElfW(Sym) *sym = find_symbol(s, name);
	uint8_t *p;
	size_t skip;

	if (!sym || sym->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(sym->st_info) != STT_FUNC)
		return NULL;
	p = (uint8_t *)(s->base + sym->st_value);
	skip = memcmp(p, landing, sizeof(landing)) == 0 ? sizeof(landing) : 0;
	return sym->st_size < skip + JUMP_LEN ? NULL : p + skip;
}

static const void *find_data(const struct symbols *s, const char *name)
{
	const ElfW(Sym) *sym = find_symbol(s, name);

	return sym && sym->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(sym->st_info) == STT_OBJECT ? (const void *)(s->base + sym->st_value) : NULL;
}

static void write_jump(const struct patch *p)
{
	memcpy(p->at, jump, sizeof(jump));
	memcpy(p->at + sizeof(jump), &p->to, sizeof(p->to));
}

void redirect_patch(void)
{
	struct link_map *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	struct symbols symbols;
	struct patch patches[PATCHES_MAX];
	uintptr_t first = UINTPTR_MAX, last = 0, page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	unsigned nr = 0;

	if (!libc || !read_symbols(libc, &symbols))
		libc = NULL;
	else
		redirect_fatal_init(find_data(&symbols, "__abort_msg"));
	for (const struct redirect_entry *e = __start_redirect_entries; libc && e < __stop_redirect_entries && nr < PATCHES_MAX; e++) {
		uint8_t *at = find(&symbols, e->name);

		if (!at)
			continue;
		patches[nr++] = (struct patch){ at, e->exported };
		if ((uintptr_t)at < first)
			first = (uintptr_t)at;
		if ((uintptr_t)at + JUMP_LEN > last)
			last = (uintptr_t)at + JUMP_LEN;
	}
	first &= ~page;
	last = (last + page) & ~page;
	if (!nr || RAW(mprotect, first, last - first, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) {
		redirect_error("cannot patch the C library: calls that it makes itself, as stdio does, are not redirected");
		return;
	}
	for (unsigned i = 0; i < nr; i++)
		write_jump(&patches[i]);
	__builtin___clear_cache((char *)first, (char *)last);
	RAW(mprotect, first, last - first, PROT_READ | PROT_EXEC);
}
