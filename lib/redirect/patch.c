/*
 * patch.c -- the C library's calls of itself
 *
 * stdio, and much else in the C library, calls its own functions past the dynamic symbols.  So the first bytes of each
 * that is taken are replaced by a jump.  What was there is not needed any more: the functions that take its place call
 * the kernel themselves, so no instruction has to be moved.
 */
#include "redirect/redirect.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const struct redirect_entry __start_redirect_entries[], __stop_redirect_entries[] __attribute__((visibility("hidden")));

#if defined(__x86_64__)

#define PATCHES_MAX 256

struct patch {
	uint8_t *at;
	const void *to;
};

static const uint8_t jump[6] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip); the address follows */
static const uint8_t endbr64[4] = { 0xf3, 0x0f, 0x1e, 0xfa };

#define JUMP_LEN (sizeof(jump) + sizeof(void *))

/* where in the C library it is; NULL: it has none of that name, or it is too short */
static uint8_t *find(void *libc, const struct redirect_entry *e)
{
	uint8_t *p = e->is_private ? dlvsym(libc, e->name, "GLIBC_PRIVATE") : dlsym(libc, e->name);
	const ElfW(Sym) *sym = NULL;
	Dl_info info;
	size_t skip;

	if (!p || !dladdr1(p, &info, (void **)&sym, RTLD_DL_SYMENT) || !sym || !strstr(info.dli_fname, "libc.so"))
		return NULL;
	skip = memcmp(p, endbr64, sizeof(endbr64)) == 0 ? sizeof(endbr64) : 0;
	return sym->st_size < skip + JUMP_LEN ? NULL : p + skip;
}

static void write_jump(const struct patch *p)
{
	memcpy(p->at, jump, sizeof(jump));
	memcpy(p->at + sizeof(jump), &p->to, sizeof(p->to));
}

void redirect_patch(void)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	struct patch patches[PATCHES_MAX];
	uintptr_t first = UINTPTR_MAX, last = 0, page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	unsigned nr = 0;

	for (const struct redirect_entry *e = __start_redirect_entries; libc && e < __stop_redirect_entries && nr < PATCHES_MAX; e++) {
		uint8_t *at = find(libc, e);

		if (!at)
			continue;
		patches[nr++] = (struct patch){ at, e->function };
		if ((uintptr_t)at < first)
			first = (uintptr_t)at;
		if ((uintptr_t)at + JUMP_LEN > last)
			last = (uintptr_t)at + JUMP_LEN;
	}
	first &= ~page;
	last = (last + page) & ~page;
	if (!nr || RAW(mprotect, first, last - first, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) {
		redirect_error("the C library cannot be changed: what it does by itself, as stdio, is not redirected");
		return;
	}
	for (unsigned i = 0; i < nr; i++)
		write_jump(&patches[i]);
	RAW(mprotect, first, last - first, PROT_READ | PROT_EXEC);
}

#else

void redirect_patch(void)
{
}

#endif
