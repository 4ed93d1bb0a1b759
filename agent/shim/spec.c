#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int spec_load(struct spec *s, int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	struct stat st;
	int rc = fstat(fd, &st);
	if (rc == 0 && (st.st_size <= 0 || st.st_size > SHIM_SPEC_BYTES_MAX)) {
		errno = EFBIG;
		rc = -1;
	}
	if (rc == 0) {
		s->len = (size_t)st.st_size;
		s->bytes = malloc(s->len + 1);
		rc = s->bytes && read(fd, s->bytes, s->len) == (ssize_t)s->len ? 0 : -1;
	}
	if (rc == 0)
		s->bytes[s->len] = '\0';
	int e = errno;
	close(fd);
	if (rc)
		spec_free(s);
	errno = e;
	return rc;
}

void spec_free(struct spec *s)
{
	if (s->bytes)
		explicit_bzero(s->bytes, s->len); /* may hold secrets in env */
	free(s->bytes);
	s->bytes = NULL;
	s->len = 0;
}

const char *spec_next(const struct spec *s, const char *key, size_t *pos)
{
	size_t n = strlen(key);
	while (*pos < s->len) {
		const char *at = s->bytes + *pos;
		*pos += strlen(at) + 1;
		if (strncmp(at, key, n) == 0 && at[n] == '=')
			return at + n + 1;
	}
	return NULL;
}

const char *spec_get(const struct spec *s, const char *key)
{
	size_t pos = 0;
	return spec_next(s, key, &pos);
}

long long spec_number(const struct spec *s, const char *key, long long or_else)
{
	const char *v = spec_get(s, key);
	char *end = NULL;
	long long n = v ? strtoll(v, &end, 10) : or_else;
	return v && (end == v || *end) ? or_else : n;
}

char **spec_list(const struct spec *s, const char *key)
{
	size_t n = 0;
	for (size_t pos = 0; spec_next(s, key, &pos);)
		n++;
	char **list = calloc(n + 1, sizeof(*list));
	if (!list)
		return NULL;
	size_t pos = 0;
	for (size_t i = 0; i < n; i++) {
		const char *v = spec_next(s, key, &pos);
		list[i] = s->bytes + (v - s->bytes);
	}
	return list;
}
