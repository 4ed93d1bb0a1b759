/* -f: files, folders, URLs and standard input as documents that remember where they stand. */
#include "base/mem.h"
#include "columns.h"
#include "rctl.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "yaml/yaml.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANIFEST_BYTES_MAX = 16 << 20, DOCUMENTS_MAX = 10000, DEPTH_MAX = 16, FETCH_MS = 30000 };

static int add_document(struct rctl *r, struct documents *ds, struct str file,
			const struct yaml_doc *doc, const struct json *obj, uint32_t line,
			struct error *err)
{
	if (ds->len == DOCUMENTS_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %d documents", DOCUMENTS_MAX);
	if (!json_is(obj, JSON_OBJECT))
		return error_set(err, ERR_BAD_REQUEST, "%.*s:%u: not an object but a %s",
				 STR_ARG(file), line, json_type_name(obj));
	if (!json_str(json_getc(obj, "kind")).len || !json_str(json_getc(obj, "apiVersion")).len)
		return error_set(err, ERR_BAD_REQUEST, "%.*s:%u: apiVersion and kind must be set",
				 STR_ARG(file), line);
	mem_grow(ds->list, ds->len, ds->cap);
	ds->list[ds->len++] = (struct document){
		.obj = *obj,
		.where = arena_strf(&r->arena, "%.*s:%u", STR_ARG(file), line),
		.file = file,
		.yaml = doc,
	};
	return 0;
}

static int add_text(struct rctl *r, struct documents *ds, struct str file, struct str text,
		    struct error *err)
{
	struct yaml_doc *docs = NULL;
	size_t n = 0;
	int rc = yaml_parse_documents(&r->arena, text, NULL, &docs, &n, err);
	if (rc) { /* "yaml: line 2: …" */
		long line = 0;
		if (sscanf(err->msg, "yaml: line %ld:", &line) == 1)
			return error_wrap(err, "%.*s:%ld", STR_ARG(file), line);
		return error_wrap(err, "%.*s", STR_ARG(file));
	}
	for (size_t i = 0; i < n && !rc; i++) {
		const struct json *items = json_getc(&docs[i].root, "items");
		struct str kind = json_str(json_getc(&docs[i].root, "kind"));
		if (!json_is(items, JSON_ARRAY) || !str_ends(kind, STR("List"))) {
			rc = add_document(r, ds, file, &docs[i], &docs[i].root, docs[i].line, err);
			continue;
		}
		for (size_t k = 0; k < json_len(items) && !rc; k++) {
			char path[32];
			(void)snprintf(path, sizeof(path), "items[%zu]", k);
			rc = add_document(r, ds, file, NULL, json_at(items, k),
					  yaml_line_of(&docs[i], str_of(path)), err);
		}
	}
	return rc;
}

static int add_file(struct rctl *r, struct documents *ds, const char *path, struct error *err)
{
	struct buf text = { 0 };
	int rc = strcmp(path, "-") == 0 ? file_read_fd(STDIN_FILENO, MANIFEST_BYTES_MAX, &text, err)
					: file_read(path, MANIFEST_BYTES_MAX, &text, err);
	if (rc == 0)
		rc = add_text(r, ds,
			      strcmp(path, "-") == 0 ? STR("<stdin>")
						     : arena_str(&r->arena, str_of(path)),
			      arena_str(&r->arena, buf_str(&text)), err);
	buf_fini(&text);
	return rc;
}

static bool is_manifest(const char *name)
{
	struct str s = str_of(name);
	return str_ends(s, STR(".yaml")) || str_ends(s, STR(".yml")) || str_ends(s, STR(".json"));
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int add_path(struct rctl *r, struct documents *ds, const char *path, int depth,
		    struct error *err);

static int add_folder(struct rctl *r, struct documents *ds, const char *path, int depth,
		      struct error *err)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, visible, alphasort);
	int rc = n < 0 ? error_set(err, ERR_NOT_FOUND, "%s cannot be read", path) : 0;
	for (int i = 0; i < n; i++) {
		char *full = arena_printf(&r->arena, "%s/%s", path, names[i]->d_name);
		struct stat st;
		if (!rc && stat(full, &st) == 0) {
			if (S_ISDIR(st.st_mode) && r->opt.recursive)
				rc = add_path(r, ds, full, depth + 1, err);
			else if (S_ISREG(st.st_mode) && is_manifest(names[i]->d_name))
				rc = add_file(r, ds, full, err);
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static int add_path(struct rctl *r, struct documents *ds, const char *path, int depth,
		    struct error *err)
{
	if (depth > DEPTH_MAX)
		return error_set(err, ERR_TOO_LARGE, "%s: folders are nested deeper than %d", path,
				 DEPTH_MAX);
	struct stat st;
	if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_folder(r, ds, path, depth, err);
	return add_file(r, ds, path, err);
}

/* ---- URLs ---- */

struct fetched {
	struct buf body;
	struct error err;
	int status;
	bool done;
};

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct fetched *f = arg;
	f->status = status;
	if (err)
		f->err = *err;
	buf_add_str(&f->body, reply);
	f->done = true;
}

static int add_url(struct rctl *r, struct documents *ds, const char *url, struct error *err)
{
	int rc = rctl_connect(r, err);
	if (rc)
		return rc;
	struct fetched f = { 0 };
	(void)fetch_send(r->fetch, &(struct fetch_request){ .method = "GET",
							    .url = url,
							    .timeout_ms = FETCH_MS,
							    .reply_bytes_max = MANIFEST_BYTES_MAX,
							    .on_done = on_done,
							    .arg = &f });
	while (!f.done)
		loop_turn(r->loop, -1);
	if (f.err.code) {
		*err = f.err;
		rc = f.err.code;
	} else if (f.status != 200) {
		rc = error_set(err, ERR_NOT_FOUND, "%s: the server answered %d", url, f.status);
	} else {
		rc = add_text(r, ds, str_of(url), arena_str(&r->arena, buf_str(&f.body)), err);
	}
	buf_fini(&f.body);
	return rc;
}

int manifest_read(struct rctl *r, struct documents *ret, struct error *err)
{
	*ret = (struct documents){ 0 };
	for (size_t i = 0; i < r->opt.files.len; i++) {
		const char *f = r->opt.files.v[i];
		bool url = strncmp(f, "http://", 7) == 0 || strncmp(f, "https://", 8) == 0;
		int rc = url ? add_url(r, ret, f, err) : add_path(r, ret, f, 0, err);
		if (rc)
			return rc;
	}
	if (!ret->len)
		return error_set(err, ERR_BAD_REQUEST,
				 r->opt.files.len ? "no objects in what -f names"
						  : "say what with -f FILE (- is standard input)");
	return 0;
}

struct str manifest_line(struct rctl *r, const struct document *d, struct str field)
{
	const struct yaml_doc *doc = d->yaml;
	if (!doc || !field.len)
		return d->where;
	struct str path = columns_index_path(&r->arena, &doc->root, field);
	return arena_strf(&r->arena, "%.*s:%u", STR_ARG(d->file), yaml_line_of(doc, path));
}

/* ---- what the server says about a document ---- */

/*
 * The field that a message is about when there are no causes: "… (ns/name; v1, Kind=ConfigMap): .data.a: expected
 * string", 'unknown field "spec.x"'.
 */
static struct str field_in(struct str message)
{
	ptrdiff_t at = str_find_str(message, STR("): ."), 0);
	if (at >= 0) {
		struct str rest = str_sub(message, (size_t)at + 4, message.len);
		ptrdiff_t end = str_find_str(rest, STR(": "), 0);
		return end < 0 ? STR("") : str_sub(rest, 0, (size_t)end);
	}
	at = str_find_str(message, STR("unknown field \""), 0);
	if (at < 0)
		return STR("");
	struct str rest = str_sub(message, (size_t)at + 15, message.len);
	ptrdiff_t end = str_find(rest, '"', 0);
	return end < 0 ? STR("") : str_sub(rest, 0, (size_t)end);
}

void manifest_blame(struct rctl *r, const struct document *d, const struct reply *reply)
{
	struct json st;
	struct str text = buf_str(&reply->body);
	const struct json *causes = NULL;
	if (reply->status &&
	    json_parse(&r->arena, arena_str(&r->arena, text), NULL, &st, NULL) == 0)
		causes = json_dig(&st, "details", "causes", NULL);
	struct error err = reply->err;
	char *more = json_len(causes) ? strchr(err.msg, '\n') : NULL;
	if (more) /* the causes follow, each with its line */
		*more = '\0';
	struct str where =
		json_len(causes) ? d->where : manifest_line(r, d, field_in(str_of(err.msg)));
	(void)error_wrap(&err, "%.*s", STR_ARG(where));
	(void)rctl_fail(&err);
	for (size_t i = 0; i < json_len(causes); i++) {
		struct str field = json_str(json_getc(json_at(causes, i), "field"));
		struct str message = json_str(json_getc(json_at(causes, i), "message"));
		struct str path =
			str_starts(field, STR(".")) ? str_sub(field, 1, field.len) : field;
		(void)fprintf(stderr, "  %.*s: %.*s: %.*s\n", STR_ARG(manifest_line(r, d, path)),
			      STR_ARG(path), STR_ARG(message));
	}
	if (reply->err.code == ERR_CONFLICT && json_len(causes))
		(void)fputs("  others own these fields: take them out of the file, or take them "
			    "over with --force-conflicts\n",
			    stderr);
	else if (reply->err.code == ERR_NOT_FOUND && strstr(reply->err.msg, "namespaces"))
		(void)fputs("  create the namespace first, or put its document before this one\n",
			    stderr);
}

int manifest_target(struct rctl *r, struct document *d, const struct client_resource **res,
		    char **path, struct error *err)
{
	int rc = rctl_discover(r, err);
	if (rc)
		return rc;
	struct str version = json_str(json_getc(&d->obj, "apiVersion"));
	struct str kind = json_str(json_getc(&d->obj, "kind"));
	*res = client_discovery_find_gvk(r->discovery, version, kind);
	if (!*res)
		return error_set(err, ERR_NOT_FOUND,
				 "%.*s: the server has no kind \"%.*s\" in %.*s; 'rctl "
				 "api-resources' lists those it has",
				 STR_ARG(d->where), STR_ARG(kind), STR_ARG(version));
	struct json *meta = json_child(&r->arena, &d->obj, "metadata");
	struct str name = json_str(json_getc(meta, "name"));
	struct str ns = json_str(json_getc(meta, "namespace"));
	if ((*res)->namespaced && !ns.len) {
		ns = rctl_ns(r);
		(void)json_setc(&r->arena, meta, "namespace", json_of_str(ns));
	} else if ((*res)->namespaced && r->opt.ns && !str_is(ns, r->opt.ns)) {
		return error_set(err, ERR_BAD_REQUEST,
				 "%.*s: namespace \"%.*s\" of the document is not --namespace %s",
				 STR_ARG(manifest_line(r, d, STR("metadata.namespace"))),
				 STR_ARG(ns), r->opt.ns);
	}
	*path = client_path(&r->arena, *res, ns, name);
	return 0;
}
