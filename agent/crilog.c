#include "crilog.h"

#include "text/rfc3339.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool cri_parse(struct str line, struct cri_line *r)
{
	int64_t sec;
	int32_t nsec;
	struct str stream;
	if (!str_split(&line, ' ', &r->time) || !rfc3339_parse(r->time, &sec, &nsec) ||
	    !str_split(&line, ' ', &stream) || line.len < 2 || line.p[1] != ' ')
		return false;
	if (sec > INT64_MAX / 1000000000 || sec < 0)
		return false;
	r->unix_ns = sec * 1000000000 + nsec;
	r->is_stderr = str_is(stream, "stderr");
	r->partial = line.p[0] == 'P';
	if ((!r->is_stderr && !str_is(stream, "stdout")) || (line.p[0] != 'F' && !r->partial))
		return false;
	r->text = str_sub(line, 2, line.len);
	return true;
}

/* "3.log" or "3.log.17" */
static bool parse_name(const char *name, struct cri_file *f)
{
	struct str s = str_of(name), attempt;
	uint64_t n = 0, k = 0;
	if (s.len >= sizeof(f->name) || !str_split(&s, '.', &attempt) || !str_to_u64(attempt, &n) ||
	    n > UINT32_MAX || !str_starts(s, STR("log")))
		return false;
	s = str_sub(s, 3, s.len);
	if (s.len &&
	    (s.p[0] != '.' || !str_to_u64(str_sub(s, 1, s.len), &k) || k == 0 || k >= UINT32_MAX))
		return false;
	memcpy(f->name, name, strlen(name) + 1);
	f->attempt = (uint32_t)n;
	f->rotation = (uint32_t)k;
	return true;
}

static int by_age(const void *a, const void *b)
{
	const struct cri_file *x = a, *y = b;
	if (x->attempt != y->attempt)
		return x->attempt < y->attempt ? -1 : 1;
	uint32_t p = x->rotation - 1,
		 q = y->rotation - 1; /* the open file (0) becomes the largest */
	return p < q ? -1 : p > q;
}

size_t cri_list(const char *dir, int64_t attempt, struct cri_file *list)
{
	struct cri_file all[CRI_FILES_MAX * 2], f;
	size_t n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (!parse_name(e->d_name, &f) || (attempt >= 0 && f.attempt != attempt) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		f.inode = st.st_ino;
		f.size = (uint64_t)st.st_size;
		if (n == CRI_FILES_MAX * 2) {
			qsort(all, n, sizeof(all[0]), by_age);
			for (size_t i = 0; i < CRI_FILES_MAX; i++)
				all[i] = all[i + CRI_FILES_MAX];
			n = CRI_FILES_MAX;
		}
		all[n++] = f;
	}
	if (d)
		closedir(d);
	if (n)
		qsort(all, n, sizeof(all[0]), by_age);
	size_t skip = n > CRI_FILES_MAX ? n - CRI_FILES_MAX : 0;
	for (size_t i = skip; i < n; i++)
		list[i - skip] = all[i];
	return n - skip;
}
