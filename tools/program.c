/*
 * program.c -- properties of a program from its file
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "program.h"

/* the string at an offset of the file; NULL: it does not end within the file */
static char *text_at(Elf *elf, size_t offset, size_t len)
{
	size_t size;
	const char *raw = elf_rawfile(elf, &size);

	if (!raw || offset > size || len > size - offset || !memchr(raw + offset, '\0', len))
		return NULL;
	return strdup(raw + offset);
}

/* the loader that it names: a statically linked program names none, though it may have a dynamic section */
static char *find_loader(Elf *elf)
{
	char *loader = NULL;
	size_t nr = 0;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &nr);
	for (size_t i = 0; i < nr && gelf_getphdr(elf, (int)i, &ph); i++) {
		if (ph.p_type == PT_INTERP && !loader)
			loader = text_at(elf, ph.p_offset, ph.p_filesz);
	}
	return loader;
}

/* the linker of Go adds a note of its own */
static bool has_go_note(Elf *elf, const GElf_Phdr *ph)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)ph->p_offset, ph->p_filesz, ph->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	size_t at = 0, name, desc;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name, &desc)) > 0) {
		if (note.n_namesz == 4 && memcmp((const char *)data->d_buf + name, "Go\0", 4) == 0)
			return true;
	}
	return false;
}

static bool is_go(Elf *elf)
{
	size_t nr = 0;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &nr);
	for (size_t i = 0; i < nr && gelf_getphdr(elf, (int)i, &ph); i++) {
		if (ph.p_type == PT_NOTE && has_go_note(elf, &ph))
			return true;
	}
	return false;
}

static bool table_defines(Elf *elf, Elf_Scn *section, const GElf_Shdr *sh, const char *symbol)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Sym sym;

	for (int i = 0; data && gelf_getsym(data, i, &sym); i++) {
		const char *name = sym.st_shndx == SHN_UNDEF ? NULL : elf_strptr(elf, sh->sh_link, sym.st_name);

		if (name && strcmp(name, symbol) == 0)
			return true;
	}
	return false;
}

static bool defines(Elf *elf, const char *symbol)
{
	GElf_Shdr sh;

	for (Elf_Scn *s = elf_nextscn(elf, NULL); s; s = elf_nextscn(elf, s)) {
		if (gelf_getshdr(s, &sh) && (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM) && table_defines(elf, s, &sh, symbol))
			return true;
	}
	return false;
}

/* is it the same file, under any name? */
static bool is_our_loader(const struct stat *st)
{
	const char *ours = program_loader();
	struct stat a;

	return ours && stat(ours, &a) == 0 && a.st_dev == st->st_dev && a.st_ino == st->st_ino;
}

static bool is_named_our_loader(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && is_our_loader(&st);
}

static void look_at_elf(Elf *elf, const struct stat *st, struct program *out)
{
	out->interpreter = find_loader(elf);
	out->has_mpi = defines(elf, "MPI_Init");
	out->is_go = is_go(elf);
	if (!out->interpreter)
		out->kind = is_our_loader(st) ? PROGRAM_LOADER : PROGRAM_STATIC;
	else
		out->kind = is_named_our_loader(out->interpreter) ? PROGRAM_DYNAMIC : PROGRAM_FOREIGN;
}

static void look_at_script(int fd, struct program *out)
{
	char line[256]; /* the length that the kernel accepts */
	ssize_t len = pread(fd, line, sizeof(line) - 1, 0);
	char *name;

	out->kind = PROGRAM_OTHER;
	if (len < 2 || memcmp(line, "#!", 2) != 0)
		return;
	line[len] = '\0';
	name = line + 2 + strspn(line + 2, " \t");
	name[strcspn(name, " \t\r\n")] = '\0';
	out->kind = PROGRAM_SCRIPT;
	out->interpreter = strdup(name);
}

static bool gives_rights(int fd, const struct stat *st)
{
	return ((st->st_mode & S_ISUID) && st->st_uid != getuid()) || ((st->st_mode & S_ISGID) && st->st_gid != getgid()) ||
	       fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static int look(int fd, struct program *out)
{
	struct stat st;
	Elf *elf;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EACCES;
	out->privileged = gives_rights(fd, &st);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		look_at_elf(elf, &st, out);
	else
		look_at_script(fd, out);
	elf_end(elf);
	return 0;
}

int program_look(const char *path, struct program *out)
{
	/* a FIFO of that name must not block the open */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return -errno;
	rc = look(fd, out);
	close(fd);
	if (rc < 0)
		program_free(out);
	return rc;
}

void program_free(struct program *p)
{
	free(p->interpreter);
	p->interpreter = NULL;
}

static void read_own_loader(int fd, char **out)
{
	Elf *elf;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		*out = find_loader(elf);
	elf_end(elf);
}

const char *program_loader(void)
{
	static char *loader;
	int fd;

	if (loader)
		return loader;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	read_own_loader(fd, &loader);
	close(fd);
	return loader;
}
