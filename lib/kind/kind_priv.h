/* kind_priv - what the files of lib/kind share. */
#ifndef KIND_KIND_PRIV_H
#define KIND_KIND_PRIV_H

#include "base/buf.h"
#include "kind/kind.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	KIND_VERSIONS_MAX = 32, /* of one CRD */
};

/* The server's own version of these is nothing a CRD may take. */
enum kind_name_rule { KIND_NAME_SUBDOMAIN, KIND_NAME_LABEL, KIND_NAME_LABEL35, KIND_NAME_PATH };

/* Members to look for while scanning a text: a tree of names. */
struct kind_trie {
	struct str name;
	int field; /* index of the selectable field that ends here, or -1 */
	struct kind_trie *child, *next;
};

struct kind_unit;

struct kind_info {
	struct kind pub; /* first */
	struct kind_unit *unit;
	enum kind_name_rule name_rule;
	struct str definition;   /* of the kind in OpenAPI: io.k8s.api.apps.v1.Deployment */
	struct str columns_text; /* "columnDefinitions":[…] */
	const struct kind_trie *trie;
	bool storage; /* this version is what is stored */
};

static inline const struct kind_info *kind_info(const struct kind *k)
{
	return (const struct kind_info *)(const void *)k;
}

/* The kinds that came from one place: all built-in ones, or one CRD. */
struct kind_unit {
	_Atomic uint32_t refs;
	struct str name; /* of the CRD; "" for the built-in ones */
	struct str spec; /* the CRD's spec as text: equal means the unit can be shared */
	char hash[65];   /* of everything in it, hexadecimal */
	struct schema_set *schemas;
	struct arena arena;
	struct kind_info **kinds;
	size_t len, cap;
};

struct kind_set {
	_Atomic uint32_t refs;
	struct kind_unit **units; /* [0]: built-in */
	size_t units_len;
	const struct kind_info **all, **by_url, **by_gvk, **by_key;
	size_t len, keys_len;
	struct arena *scratch;      /* of kind_index */
	pthread_mutex_t lock;       /* of what follows: made on first use */
	struct bytes *discovery[2]; /* of /apis, of /api */
	char etag[2][65];
	struct map *hashes; /* group version -> char[65]; never shrinks */
};

/* ---- making ---- */

/*
 * Adds the served versions of a CRD document to the unit.  meta: the unit
 * that has ObjectMeta.  ERR_INVALID says what is wrong.
 */
int kind_unit_add(struct kind_unit *u, const struct kind_unit *meta, const struct json *crd,
		  bool builtin, struct error *err);
struct kind_unit *kind_unit_new(void);
void kind_unit_unref(struct kind_unit *u);

/* The built-in unit of a plane; aborts when the embedded text is wrong. */
struct kind_unit *kind_unit_builtin(enum kind_plane plane);

/* Below 0 when version a comes before b: v2, v1, v1beta2, v1beta1, v1alpha1, others by name. */
int kind_version_cmp(struct str a, struct str b);

/* "io.k8s.api.apps.v1.Deployment" */
struct str kind_definition_name(struct arena *a, struct str group, struct str version,
				struct str kind);

/* What a subresource is answered with and which verbs it has. */
struct kind_subresource {
	const char *name;
	const char *group, *version, *kind; /* NULL: those of the resource itself */
	unsigned verbs;
};

/* Subresource i of the kind (status and scale included); false at the end. */
bool kind_subresource_at(const struct kind *k, size_t i, struct kind_subresource *ret);

/* Appends ["create","delete",…]. */
void kind_write_verbs(struct buf *out, unsigned verbs);

/* ---- small helpers ---- */

void kind_write_strs(struct buf *out, const struct str *list, size_t len); /* ["a","b"] */
struct bytes *kind_take(struct buf *b); /* the buffer's bytes; ends the buffer */

/* FIPS 180-4 */
void kind_sha256(struct str s, uint8_t out[32]);
void kind_sha256_hex(struct str s, char out[65]);

#endif
