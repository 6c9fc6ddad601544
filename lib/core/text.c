#include "core/text.h"

#include <stdio.h>
#include <string.h>

/* bytes of a character in UTF-8; also 1 for an invalid byte */
static size_t char_len(const unsigned char *s)
{
	size_t len = *s >= 0xf0 && *s < 0xf8 ? 4 : *s >= 0xe0 && *s < 0xf0 ? 3 : *s >= 0xc2 && *s < 0xe0 ? 2 : 1;

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also at the end */
			return 1;
	}
	return len;
}

static bool is_control(const unsigned char *s, size_t len)
{
	if (len == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	return len == 1 && (*s < 0x20 || (*s >= 0x7f && *s < 0xa0));
}

size_t pmio_char(const char *s, bool *control)
{
	size_t len = char_len((const unsigned char *)s);

	*control = is_control((const unsigned char *)s, len);
	return len;
}

char *pmio_plain(char *out, size_t size, const char *text)
{
	size_t at = 0;

	for (size_t len; *text; text += len) {
		bool control;

		len = pmio_char(text, &control);
		if (at + (control ? 4 * len : len) >= size)
			break;
		for (size_t i = 0; i < len && control; i++)
			at += (size_t)sprintf(out + at, "\\x%02x", (unsigned char)text[i]);
		if (!control) {
			memcpy(out + at, text, len);
			at += len;
		}
	}
	out[at] = '\0';
	return out;
}

const char *pmio_odd_option(int argc, char *const *argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		bool control = false;

		if (strncmp(argv[i], "--", 2) != 0)
			continue;
		for (const char *s = argv[i]; *s && *s != '=' && !control;)
			s += pmio_char(s, &control);
		if (control)
			return argv[i];
	}
	return NULL;
}

bool pmio_leaves_out(const char *list, const char *name)
{
	bool negative = *list == '^', named = false;

	for (const char *p = list + negative; *p;) {
		size_t n = strcspn(p, ",");

		named |= n == strlen(name) && strncmp(p, name, n) == 0;
		p += n + (p[n] == ',');
	}
	return negative ? named : !named;
}
