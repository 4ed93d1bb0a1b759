/* The static token file of kube-apiserver: CSV lines token,user,uid,"group1,group2". */
#include "auth/auth.h"
#include "base/mem.h"
#include "sys/file.h"

struct token {
	struct str secret;
	struct auth_user user;
};

struct auth_tokens {
	struct arena arena;
	struct token *list;
	size_t len, cap;
};

/* Takes one CSV field off *rest; quotes are doubled inside quotes.  False on broken quoting. */
static bool take_field(struct arena *a, struct str *rest, struct str *ret)
{
	if (rest->len == 0 || rest->p[0] != '"') {
		if (!str_split(rest, ',', ret))
			*ret = STR_NONE;
		*ret = arena_str(a, str_trim(*ret));
		return str_find(*ret, '"', 0) < 0;
	}
	char *out = arena_alloc(a, rest->len);
	size_t n = 0, i = 1;
	for (; i < rest->len; i++) {
		if (rest->p[i] != '"')
			out[n++] = rest->p[i];
		else if (i + 1 < rest->len && rest->p[i + 1] == '"')
			out[n++] = rest->p[i++];
		else
			break;
	}
	if (i >= rest->len)
		return false;
	*ret = str_n(out, n);
	i++;
	if (i < rest->len && rest->p[i] != ',')
		return false;
	*rest = str_sub(*rest, i + 1, rest->len);
	return true;
}

static int parse_line(struct auth_tokens *t, struct str line, struct error *err)
{
	struct token tok = { 0 };
	struct str groups = STR_NONE, group;
	if (!take_field(&t->arena, &line, &tok.secret) ||
	    !take_field(&t->arena, &line, &tok.user.name) ||
	    !take_field(&t->arena, &line, &tok.user.uid) || !take_field(&t->arena, &line, &groups))
		return error_set(err, ERR_INVALID, "broken quoting");
	if (tok.secret.len == 0 || tok.user.name.len == 0)
		return error_set(err, ERR_INVALID, "need token,user,uid[,\"group1,group2\"]");
	while (groups.len && str_split(&groups, ',', &group)) {
		group = str_trim(group);
		if (!group.len)
			continue;
		if (tok.user.groups_len == AUTH_GROUPS_MAX)
			return error_set(err, ERR_INVALID, "more than %d groups", AUTH_GROUPS_MAX);
		tok.user.groups[tok.user.groups_len++] = group;
	}
	if (t->len == AUTH_TOKENS_MAX)
		return error_set(err, ERR_INVALID, "more than %d tokens", AUTH_TOKENS_MAX);
	mem_grow(t->list, t->len, t->cap);
	t->list[t->len++] = tok;
	return 0;
}

int auth_tokens_load(const char *path, struct auth_tokens **ret, struct error *err)
{
	struct buf text = { 0 };
	struct auth_tokens *t = mem_new(struct auth_tokens, 1);
	int rc = file_read(path, AUTH_TOKEN_FILE_MAX, &text, err);
	struct str rest = buf_str(&text), line;
	for (int n = 1; rc == 0 && rest.len && str_split(&rest, '\n', &line); n++) {
		line = str_trim(line);
		if (line.len && line.p[0] != '#' && (rc = parse_line(t, line, err)))
			error_wrap(err, "%s:%d", path, n);
	}
	if (text.p)
		explicit_bzero(text.p, text.cap);
	buf_fini(&text);
	if (rc) {
		auth_tokens_free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

struct auth_tokens *auth_tokens_free(struct auth_tokens *t)
{
	if (!t)
		return NULL;
	arena_fini(&t->arena);
	mem_free(t->list);
	mem_free(t);
	return NULL;
}

/* Looks at every byte of both, however early they differ. */
static bool same_secret(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	unsigned char diff = 0;
	for (size_t i = 0; i < a.len; i++)
		diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
	return diff == 0;
}

const struct auth_user *auth_tokens_find(const struct auth_tokens *t, struct str token)
{
	const struct auth_user *found = NULL;
	for (size_t i = 0; t && i < t->len; i++)
		if (same_secret(t->list[i].secret, token))
			found = &t->list[i].user;
	return found;
}
