#include "member.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "member_priv.h"
#include "names.h"
#include "sys/clock.h"
#include "text/base64.h"

/* ---- asking ---- */

bool member_is_well(const struct member *m)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&m->nodes, &pos, NULL, &v))
		if (((const struct member_node *)v)->ready)
			return true;
	return false;
}

static bool has_synced(const struct member *m)
{
	return m->watching && client_informer_synced(m->i_nodes) &&
	       client_informer_synced(m->i_namespaces) &&
	       client_informer_synced(m->deps[REF_CONFIG_MAP]) &&
	       client_informer_synced(m->deps[REF_SERVICE_ACCOUNT]);
}

static bool answers(const struct member *m, uint64_t now)
{
	return m->answered && now - m->answered_ms < (uint64_t)m->fleet->cfg.silent_ms;
}

enum place_contact member_contact(const struct member *m, const struct kind *k)
{
	uint64_t now = loop_now_ms(m->fleet->cfg.loop);
	bool known = has_synced(m) &&
		     (!k || (m->kinds[k->index] && client_informer_synced(m->kinds[k->index])));
	if (known && answers(m, now))
		return PLACE_UP;
	/* The first contact, and the first lists, may take as long as it takes to be sure of silence, twice. */
	if (!m->was_up && now - m->born_ms < 2 * (uint64_t)m->fleet->cfg.silent_ms)
		return PLACE_UNKNOWN;
	return PLACE_DOWN;
}

uint64_t member_failing_ms(const struct member *m)
{
	uint64_t now = loop_now_ms(m->fleet->cfg.loop);
	if (member_contact(m, NULL) != PLACE_UP)
		return now - m->up_ms;
	return m->sick_ms ? now - m->sick_ms : 0;
}

int64_t member_fits(const struct member *m, int64_t cpu_milli, int64_t memory)
{
	int64_t cpu = 0;
	int64_t mem = 0;
	int64_t pods = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&m->nodes, &pos, NULL, &v)) {
		const struct member_node *n = v;
		cpu += n->ready ? n->cpu_milli : 0;
		mem += n->ready ? n->memory : 0;
		pods += n->ready ? n->pods : 0;
	}
	pos = 0;
	while (map_next(&m->pods, &pos, NULL, &v)) {
		const struct member_pod *p = v;
		cpu -= p->cpu_milli;
		mem -= p->memory;
		pods--;
	}
	int64_t fits = pods;
	if (cpu_milli > 0 && cpu / cpu_milli < fits)
		fits = cpu / cpu_milli;
	if (memory > 0 && mem / memory < fits)
		fits = mem / memory;
	return fits < 0 ? 0 : fits;
}

struct json *member_read(struct arena *a, const struct member *m, const struct kind *k,
			 struct str object_key)
{
	return m->kinds[k->index] ? fleet_read(a, m->kinds[k->index], object_key) : NULL;
}

bool member_has_namespace(const struct member *m, struct str ns)
{
	return m->i_namespaces && client_informer_get(m->i_namespaces, ns).p;
}

struct json *member_read_ref(struct arena *a, struct member *m, struct str ns, enum ref_kind kind,
			     struct str name, bool *known, struct client_informer **ret_informer)
{
	struct client_informer *i = kind == REF_SECRET ? member_secrets(m, ns) : m->deps[kind];
	*ret_informer = i;
	*known = i && client_informer_synced(i);
	if (!i)
		return NULL;
	return fleet_read(a, i, arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name)));
}

/* ---- trouble ---- */

static void set_trouble(struct member *m, const char *text)
{
	if (m->trouble && text && strcmp(m->trouble, text) == 0)
		return;
	mem_free(m->trouble);
	m->trouble = text ? mem_strdup(text) : NULL;
	ctl_add(m->fleet->clusters, str_of(m->name));
}

void member_note(struct member *m, const struct error *err)
{
	set_trouble(m, err ? err->msg : NULL);
}

/* ---- connecting ---- */

static void disconnect(struct member *m)
{
	client_cancel(m->probe);
	m->probe = NULL;
	if (m->client)
		job_abandon(&m->fleet->jobs, m->client);
	member_unwatch(m);
	m->client = client_free(m->client);
}

static bool may_connect(const struct member *m)
{
	return m->endpoints_len && (!m->secret_name.len || m->has_credential);
}

static void connect_endpoint(struct member *m)
{
	const struct client_config *own = m->fleet->cfg.own;
	const struct member_credential *c = &m->credential;
	bool given = m->secret_name.len > 0;
	char server[2100];
	(void)snprintf(server, sizeof(server), "%s", m->endpoints[m->endpoint]);
	union {
		const char *in;
		char *out;
	} pem = { .in = m->ca.len ? m->ca.p : given ? c->ca_pem : own->ca_pem };
	struct client_config cfg = {
		.server = server,
		.ca_pem = pem.out,
		.cert_pem = given ? c->cert_pem : own->cert_pem,
		.key_pem = given ? c->key_pem : own->key_pem,
		.token = given ? c->token : own->token,
		.tls_server_name = given ? c->server_name : NULL,
	};
	m->client =
		client_new(m->fleet->cfg.fetch, m->fleet->cfg.loop, &cfg,
			   &(struct client_options){ .user_agent = FLEET_MANAGER "/" RCTL_VERSION,
						     .field_manager = FLEET_MANAGER });
}

static void take_version(struct member *m, struct str body)
{
	struct arena a = { 0 };
	struct json j;
	if (json_parse(&a, body, NULL, &j, NULL) == 0) {
		struct str v = json_str(json_getc(&j, "gitVersion"));
		mem_free(m->version);
		m->version = mem_strndup(v.p, v.len);
	}
	arena_fini(&a);
}

static void on_probe(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct member *m = arg;
	m->probe = NULL;
	if (err) {
		set_trouble(m, err->msg);
		/* another server of the cluster may answer; what was seen through this one is dropped */
		m->reset = m->reset || m->endpoints_len > 1;
		loop_timer_set(m->fleet->cfg.loop, &m->timer, m->reset ? 50 : 1000);
		return;
	}
	take_version(m, body);
	m->answered = true;
	m->answered_ms = loop_now_ms(m->fleet->cfg.loop);
	m->seen_unix_s = clock_unix_ms() / 1000;
	if (!m->watching)
		member_watch(m);
	member_judge(m);
}

/* The state that the plan sees may have changed by events or by time alone. */
void member_judge(struct member *m)
{
	uint64_t now = loop_now_ms(m->fleet->cfg.loop);
	enum place_contact c = member_contact(m, NULL);
	bool well = c == PLACE_UP && member_is_well(m);
	if (c == PLACE_UP) {
		m->was_up = true;
		m->up_ms = now;
		set_trouble(m, NULL);
		if (well)
			m->sick_ms = 0;
		else if (!m->sick_ms)
			m->sick_ms = now;
	}
	if (c == m->told_contact && well == m->told_well)
		return;
	log_info("cluster", "cluster", LOG_S(m->name), "contact",
		 LOG_S(c == PLACE_UP     ? "up"
		       : c == PLACE_DOWN ? "down"
					 : "unknown"),
		 "well", LOG_I(well), "trouble", LOG_S(m->trouble), NULL);
	m->told_contact = c;
	m->told_well = well;
	fleet_member_changed(m->fleet, m);
}

static void on_timer(struct loop_timer *t)
{
	struct member *m = container_of(t, struct member, timer);
	if (m->retired) {
		(void)member_free(m);
		return;
	}
	uint64_t now = loop_now_ms(m->fleet->cfg.loop);
	loop_timer_set(m->fleet->cfg.loop, &m->timer, (uint64_t)m->fleet->cfg.probe_ms);
	if (m->watching && !answers(m, now))
		m->reset = true;
	if (m->reset) {
		m->reset = false;
		disconnect(m);
		m->endpoint = m->endpoints_len ? (m->endpoint + 1) % m->endpoints_len : 0;
	}
	member_judge(m);
	if (!may_connect(m)) {
		if (m->secret_name.len && !m->has_credential && !m->trouble)
			set_trouble(m, "the Secret of its credential is not there");
		return;
	}
	if (!m->client)
		connect_endpoint(m);
	if (!m->probe)
		m->probe = client_send(
			m->client,
			&(struct client_request){ .method = "GET",
						  .path = "/version",
						  .timeout_ms = (uint64_t)m->fleet->cfg.probe_ms,
						  .done = on_probe,
						  .arg = m });
}

/* Not at once: the caller may be in a callback of what goes away. */
static void reconnect(struct member *m)
{
	m->reset = true;
	loop_timer_set(m->fleet->cfg.loop, &m->timer, 0);
}

/* ---- the Cluster object ---- */

static void on_credential(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)key;
	(void)text;
	struct member *m = arg;
	struct member_credential c = { 0 };
	struct error err = { 0 };
	if (member_read_credential(obj, &c, &err) != 0) {
		(void)error_wrap(&err, "Secret %.*s/%.*s", STR_ARG(m->secret_ns),
				 STR_ARG(m->secret_name));
		set_trouble(m, err.msg);
		return;
	}
	member_credential_fini(&m->credential);
	m->credential = c;
	m->has_credential = true;
	reconnect(m);
}

static void watch_credential(struct member *m)
{
	fleet_unwatch(m->fleet, m->i_credential);
	m->i_credential = NULL;
	m->has_credential = false;
	member_credential_fini(&m->credential);
	if (!m->secret_name.len)
		return;
	struct arena a = { 0 };
	const struct client_informer_config cfg = {
		.path = arena_printf(&a, "/api/v1/namespaces/%.*s/secrets", STR_ARG(m->secret_ns)),
		.field_selector = arena_printf(&a, "metadata.name=%.*s", STR_ARG(m->secret_name)),
		.on_set = on_credential,
		.arg = m,
	};
	m->i_credential = ctl_watch(m->fleet->cfg.ctl, m->fleet->cfg.client, &cfg, false);
	arena_fini(&a);
}

static void read_connection(struct member *m, const struct json *spec)
{
	const struct json *list = json_getc(spec, "endpoints");
	m->endpoints_len = 0;
	for (size_t i = 0; i < json_len(list) && m->endpoints_len < MEMBER_ENDPOINTS_MAX; i++)
		m->endpoints[m->endpoints_len++] =
			arena_str(&m->arena, json_str(json_getc(json_at(list, i), "url"))).p;
	m->endpoint = 0;
	struct buf ca = { 0 };
	m->ca = base64_read(&ca, json_str(json_getc(spec, "caBundle"))) && ca.len
			? arena_str(&m->arena, buf_str(&ca))
			: STR_NONE;
	buf_fini(&ca);
	const struct json *ref = json_dig(spec, "credential", "secretRef", NULL);
	m->secret_ns = arena_str(&m->arena, json_str(json_getc(ref, "namespace")));
	m->secret_name = arena_str(&m->arena, json_str(json_getc(ref, "name")));
}

void member_update(struct member *m, const struct json *obj)
{
	struct arena old = m->arena;
	const struct json *spec = json_getc(obj, "spec");
	m->arena = (struct arena){ 0 };
	struct json parts = json_object();
	static const char *const names[] = { "endpoints", "caBundle", "credential", "provider" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (json_getc(spec, names[i]))
			(void)json_setc(&m->arena, &parts, names[i], *json_getc(spec, names[i]));
	struct str connection = json_text(&m->arena, &parts);
	bool same = str_eq(connection, m->connection);
	m->connection = connection;
	spec_read_cluster(&m->arena, obj, &m->spec);
	m->uid = arena_str(&m->arena, json_str(json_dig(obj, "metadata", "uid", NULL)));
	m->native = !str_is(json_str(json_getc(spec, "provider")), "kubernetes");
	size_t endpoint = m->endpoint;
	read_connection(m, spec);
	if (same)
		m->endpoint = endpoint;
	arena_fini(&old);
	if (!same) {
		watch_credential(m);
		reconnect(m);
	}
}

/* ---- life ---- */

struct member *member_new(struct fleet *f, struct str name)
{
	struct member *m = mem_new(struct member, 1);
	m->fleet = f;
	m->name = mem_strndup(name.p, name.len);
	m->timer.fn = on_timer;
	m->born_ms = m->up_ms = loop_now_ms(f->cfg.loop);
	m->told_contact = PLACE_UNKNOWN;
	map_init(&m->nodes, clock_random_u64());
	map_init(&m->pods, clock_random_u64());
	map_init(&m->secrets, clock_random_u64());
	return m;
}

void member_retire(struct member *m)
{
	m->retired = true;
	list_append(&m->fleet->retired, &m->link);
	loop_timer_set(m->fleet->cfg.loop, &m->timer, 0);
}

struct member *member_free(struct member *m)
{
	if (!m)
		return NULL;
	list_del(&m->link);
	loop_timer_stop(&m->timer);
	disconnect(m);
	fleet_unwatch(m->fleet, m->i_credential);
	member_credential_fini(&m->credential);
	map_fini(&m->nodes);
	map_fini(&m->pods);
	map_fini(&m->secrets);
	arena_fini(&m->arena);
	mem_free(m->name);
	mem_free(m->trouble);
	mem_free(m->version);
	mem_free(m);
	return NULL;
}
