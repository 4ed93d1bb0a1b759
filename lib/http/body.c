#include "http/body.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

enum { FEW = 2 };

static struct http_piece *pieces(struct http_body *b)
{
	return b->pieces ? b->pieces : b->few;
}

static void drop_all(struct http_body *b)
{
	struct http_piece *p = pieces(b);
	for (size_t i = b->at; i < b->len; i++)
		bytes_unref(p[i].owner);
}

void http_body_fini(struct http_body *b)
{
	drop_all(b);
	mem_free(b->pieces);
	*b = (struct http_body){ 0 };
}

/* Room for `more` pieces: first by closing the gap at the front, then by doubling. */
static struct http_piece *make_room(struct http_body *b, size_t more)
{
	size_t cap = b->pieces ? b->cap : FEW;
	if (b->len + more <= cap)
		return pieces(b);
	struct http_piece *p = pieces(b);
	size_t used = b->len - b->at;
	if (b->at > used && used + more <= cap) {
		memmove(p, p + b->at, used * sizeof(*p));
	} else {
		while (cap < used + more)
			cap *= 2;
		struct http_piece *to = mem_resize(NULL, cap < 8 ? 8 : cap, sizeof(*to));
		memcpy(to, p + b->at, used * sizeof(*p));
		mem_free(b->pieces);
		b->pieces = p = to;
		b->cap = cap < 8 ? 8 : cap;
	}
	b->at = 0;
	b->len = used;
	return p;
}

static void add(struct http_body *b, struct http_piece piece)
{
	if (piece.len == 0) {
		bytes_unref(piece.owner);
		return;
	}
	make_room(b, 1)[b->len] = piece;
	b->len++;
	b->bytes += piece.len;
}

void http_body_add(struct http_body *b, struct bytes *bytes)
{
	http_body_give(b, bytes_ref(bytes));
}

void http_body_give(struct http_body *b, struct bytes *bytes)
{
	add(b, (struct http_piece){ bytes->data, bytes->len, bytes });
}

void http_body_lit(struct http_body *b, struct str literal)
{
	add(b, (struct http_piece){ literal.p, literal.len, NULL });
}

void http_body_copy(struct http_body *b, struct str s)
{
	if (s.len)
		http_body_give(b, bytes_of_str(s));
}

void http_body_part(struct http_body *b, struct bytes *bytes, struct str s)
{
	assert(s.len == 0 || (s.p >= bytes->data && s.p + s.len <= bytes->data + bytes->len));
	add(b, (struct http_piece){ s.p, s.len, bytes_ref(bytes) });
}

void http_body_move(struct http_body *b, struct http_body *from)
{
	if (b->at == b->len) {
		http_body_fini(b);
		*b = *from;
	} else {
		size_t n = from->len - from->at;
		struct http_piece *to = make_room(b, n);
		if (n)
			memcpy(to + b->len, pieces(from) + from->at, n * sizeof(*to));
		b->len += n;
		b->bytes += from->bytes;
		mem_free(from->pieces);
	}
	*from = (struct http_body){ 0 };
}

size_t http_body_own(const struct http_body *b)
{
	const struct http_piece *p = b->pieces ? b->pieces : b->few;
	size_t own = (b->len - b->at) * sizeof(*p);
	for (size_t i = b->at; i < b->len; i++)
		if (p[i].owner &&
		    atomic_load_explicit(&p[i].owner->refs, memory_order_relaxed) == 1)
			own += p[i].len;
	return own;
}

size_t http_body_take(struct http_body *b, void *p, size_t n)
{
	char *to = p;
	size_t done = 0;
	struct http_piece *all = pieces(b);
	while (b->at < b->len && done < n) {
		struct http_piece *piece = &all[b->at];
		size_t k = piece->len < n - done ? piece->len : n - done;
		memcpy(to + done, piece->p, k);
		done += k;
		piece->p += k;
		piece->len -= k;
		if (piece->len == 0) {
			bytes_unref(piece->owner);
			b->at++;
		}
	}
	b->bytes -= done;
	if (b->at == b->len)
		b->at = b->len = 0;
	/* a large array is not kept for the small messages that may follow */
	if (b->len == 0 && b->cap > 64) {
		mem_free(b->pieces);
		b->pieces = NULL;
		b->cap = 0;
	}
	return done;
}
