#include "selector/field.h"
#include "selector/label.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct str get(void *arg, struct str key)
{
	(void)arg;
	return key.len % 3 ? key : STR_NONE;
}

/* The canonical text selects the same and is canonical. */
static void check_label(struct arena *a, struct str text)
{
	struct label_selector one;
	struct label_selector two;
	if (label_selector_parse(a, text, &one, NULL))
		return;
	struct buf first = { 0 };
	struct buf second = { 0 };
	label_selector_write(&first, &one);
	if (label_selector_parse(a, buf_str(&first), &two, NULL))
		abort();
	label_selector_write(&second, &two);
	if (!str_eq(buf_str(&first), buf_str(&second)) ||
	    label_selector_match(&one, get, NULL) != label_selector_match(&two, get, NULL))
		abort();
	buf_fini(&first);
	buf_fini(&second);
}

static void check_field(struct arena *a, struct str text)
{
	struct field_selector one;
	struct field_selector two;
	if (field_selector_parse(a, text, &one, NULL))
		return;
	struct buf first = { 0 };
	field_selector_write(&first, &one);
	if (field_selector_parse(a, buf_str(&first), &two, NULL) || one.reqs_len != two.reqs_len)
		abort();
	for (size_t i = 0; i < one.reqs_len; i++) {
		if (!str_eq(one.reqs[i].value, two.reqs[i].value) ||
		    !str_eq(one.reqs[i].field, two.reqs[i].field) ||
		    one.reqs[i].equal != two.reqs[i].equal)
			abort();
	}
	buf_fini(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct str text = str_n((const char *)data, len);
	check_label(&a, text);
	check_field(&a, text);
	arena_fini(&a);
	return 0;
}
