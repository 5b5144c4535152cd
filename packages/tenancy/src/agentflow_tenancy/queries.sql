-- The control plane's statements, by name.

-- name: ping
SELECT 1 AS one

-- name: find_key
-- A key with its tenant, on the database's clock.
SELECT k.key_id, k.digest, k.scopes, k.expires_at, k.limits AS key_limits,
       k.revoked_at IS NOT NULL AS revoked, coalesce(k.expires_at <= now(), false) AS expired,
       t.tenant_id, t.slug, t.name, t.state, t.placement, t.moving_to, t.epoch, t.agents, t.default_agent, t.plan,
       t.limits, t.retention_days, t.keep_checkpoints, t.created_at, t.updated_at, t.token_epoch
FROM agentflow_api_keys k JOIN agentflow_tenants t USING (tenant_id)
WHERE k.key_id = :key_id

-- name: find_tenant
SELECT tenant_id, slug, name, state, placement, moving_to, epoch, agents, default_agent, plan, limits, retention_days,
       keep_checkpoints, created_at, updated_at
FROM agentflow_tenants WHERE slug = :slug

-- name: find_tenant_by_id
SELECT tenant_id, slug, name, state, placement, moving_to, epoch, agents, default_agent, plan, limits, retention_days,
       keep_checkpoints, created_at, updated_at
FROM agentflow_tenants WHERE tenant_id = :tenant_id

-- name: list_tenants
-- Behind the slug :after, at most :most; filters that are null do not filter.
SELECT tenant_id, slug, name, state, placement, moving_to, epoch, agents, default_agent, plan, limits, retention_days,
       keep_checkpoints, created_at, updated_at
FROM agentflow_tenants
WHERE slug > :after
  AND (CAST(:state AS text) IS NULL OR state = :state)
  AND (CAST(:plan AS text) IS NULL OR plan = :plan)
  AND (CAST(:placement AS int) IS NULL OR placement = :placement OR moving_to = :placement)
  AND (CAST(:search AS text) IS NULL OR strpos(slug, lower(:search)) > 0 OR strpos(lower(name), lower(:search)) > 0)
ORDER BY slug
LIMIT :most

-- name: create_tenant
-- Into the pool partition with the fewest tenants. No row when the slug is taken, maybe by this call's own first try.
INSERT INTO agentflow_tenants (tenant_id, slug, name, placement, agents, default_agent, plan, limits, retention_days,
                               keep_checkpoints)
SELECT :tenant_id, :slug, :name, p.placement, CAST(:agents AS text[]), :default_agent, :plan, CAST(CAST(:limits AS text) AS jsonb),
       :retention_days, :keep_checkpoints
FROM unnest(CAST(:placements AS int[])) AS p (placement)
LEFT JOIN agentflow_tenants t ON t.placement = p.placement
GROUP BY p.placement
ORDER BY count(t.tenant_id), p.placement
LIMIT 1
ON CONFLICT (slug) DO NOTHING
RETURNING tenant_id, slug, name, state, placement, moving_to, epoch, agents, default_agent, plan, limits, retention_days,
          keep_checkpoints, created_at, updated_at

-- name: change_tenant
-- Each of :changes that is there, a JSON object; null in it is a value for `agents`, `retention_days` and
-- `keep_checkpoints`.
UPDATE agentflow_tenants t
SET name = CASE WHEN c ? 'name' THEN c ->> 'name' ELSE t.name END,
    plan = CASE WHEN c ? 'plan' THEN c ->> 'plan' ELSE t.plan END,
    limits = CASE WHEN c ? 'limits' THEN c -> 'limits' ELSE t.limits END,
    retention_days = CASE WHEN c ? 'retention_days' THEN CAST(c ->> 'retention_days' AS int) ELSE t.retention_days END,
    keep_checkpoints = CASE WHEN c ? 'keep_checkpoints' THEN CAST(c ->> 'keep_checkpoints' AS int)
                            ELSE t.keep_checkpoints END,
    default_agent = CASE WHEN c ? 'default_agent' THEN c ->> 'default_agent' ELSE t.default_agent END,
    agents = CASE WHEN NOT c ? 'agents' THEN t.agents
                  WHEN jsonb_typeof(c -> 'agents') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(c -> 'agents')) END,
    updated_at = now()
FROM (SELECT CAST(CAST(:changes AS text) AS jsonb) AS c) AS given
WHERE t.tenant_id = :tenant_id
RETURNING tenant_id, slug, name, state, placement, moving_to, epoch, agents, default_agent, plan, limits, retention_days,
          keep_checkpoints, created_at, updated_at

-- name: set_tenant_state
-- Suspended or active; new epochs void what is cached and every token. No row when it is so already, or it leaves.
UPDATE agentflow_tenants
SET state = :state, epoch = epoch + 1, token_epoch = token_epoch + 1, updated_at = now(),
    suspended_at = CASE WHEN :state = 'suspended' THEN now() END
WHERE tenant_id = :tenant_id AND state <> :state AND state <> 'offboarding'
RETURNING slug

-- name: create_key
-- No row when the key is there: ids are made for one call, so it was this call's first try that made it.
INSERT INTO agentflow_api_keys (key_id, tenant_id, digest, name, scopes, expires_at, limits, created_by)
VALUES (:key_id, :tenant_id, :digest, :name, :scopes, :expires_at, CAST(CAST(:limits AS text) AS jsonb), :created_by)
ON CONFLICT (key_id) DO NOTHING
RETURNING key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at, limits, created_by, replaced_by

-- name: list_keys
SELECT key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at, limits, created_by, replaced_by
FROM agentflow_api_keys
WHERE tenant_id = :tenant_id AND key_id > :after
ORDER BY key_id
LIMIT :most

-- name: get_key
SELECT key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at, limits, created_by, replaced_by
FROM agentflow_api_keys
WHERE tenant_id = :tenant_id AND key_id = :key_id

-- name: hold_key
-- One that is good, kept as it is until the transaction ends; or one that :new replaced already, as this call's first try
-- does.
SELECT key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at, limits, created_by, replaced_by
FROM agentflow_api_keys
WHERE tenant_id = :tenant_id AND key_id = :key_id
  AND (replaced_by = :new OR (revoked_at IS NULL AND replaced_by IS NULL AND (expires_at IS NULL OR expires_at > now())))
FOR UPDATE

-- name: replace_key
-- It ends after :overlap_s, or before when it was to.
UPDATE agentflow_api_keys
SET replaced_by = :replaced_by,
    expires_at = least(coalesce(expires_at, 'infinity'), now() + make_interval(secs => :overlap_s))
WHERE tenant_id = :tenant_id AND key_id = :key_id

-- name: revoke_key
UPDATE agentflow_api_keys SET revoked_at = coalesce(revoked_at, now())
WHERE key_id = :key_id AND tenant_id = :tenant_id
RETURNING key_id

-- name: keys_used
-- When keys were used last, noted together.
UPDATE agentflow_api_keys k SET last_used_at = now()
FROM unnest(CAST(:key_ids AS text[])) AS used (key_id)
WHERE k.key_id = used.key_id AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '30 seconds')

-- name: note
-- One line of the audit log.
INSERT INTO agentflow_audit_log (tenant_id, actor, action, target, details, address, request_id)
VALUES (:tenant_id, :actor, :action, :target, CAST(CAST(:details AS text) AS jsonb), :address, :request_id)

-- name: audit_log
-- Newest first, below :before.
SELECT audit_id, at, tenant_id, actor, action, target, details, address, request_id
FROM agentflow_audit_log
WHERE (CAST(:tenant_id AS uuid) IS NULL OR tenant_id = :tenant_id) AND audit_id < :before
ORDER BY audit_id DESC
LIMIT :most

-- name: login_statements
-- What makes a login, or gives an old one a new password; quoted by the server.
SELECT format(CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :name)
                   THEN 'ALTER ROLE %I LOGIN PASSWORD %L' ELSE 'CREATE ROLE %I LOGIN PASSWORD %L' END,
              CAST(:name AS text), CAST(:password AS text)) AS statement
UNION ALL
SELECT format('GRANT %I TO %I', CAST(:role AS text), CAST(:name AS text))

-- name: role_findings
-- What lets this login see more than the tenants it names; no row is as it should be.
SELECT 'it is a superuser' AS finding FROM pg_catalog.pg_roles WHERE rolname = session_user AND rolsuper
UNION ALL
SELECT 'it bypasses row level security' FROM pg_catalog.pg_roles WHERE rolname = session_user AND rolbypassrls
UNION ALL
SELECT 'it is a member of the tables'' owner ' || pg_get_userbyid(c.relowner)
FROM pg_catalog.pg_class c
WHERE c.relname = 'agentflow_threads' AND pg_table_is_visible(c.oid) AND pg_has_role(session_user, c.relowner, 'MEMBER')
UNION ALL
SELECT 'it is a member of agentflow_operator'
FROM pg_catalog.pg_roles WHERE rolname = 'agentflow_operator' AND pg_has_role(session_user, oid, 'MEMBER')
UNION ALL
SELECT 'it has rights on the leaf ' || min(c.relname)
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND starts_with(p.relname, 'agentflow_') AND pg_table_is_visible(p.oid)
WHERE has_table_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
   OR has_any_column_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE')
HAVING count(*) > 0
UNION ALL
SELECT 'row level security is not forced on ' || c.relname
FROM pg_catalog.pg_class c
WHERE c.relname IN ('agentflow_threads', 'agentflow_checkpoints', 'agentflow_messages', 'agentflow_tool_calls',
                    'agentflow_writes', 'agentflow_placements', 'agentflow_usage_events', 'agentflow_usage_hours',
                    'agentflow_usage_totals')
  AND pg_table_is_visible(c.oid) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)

-- name: create_operation
-- A move of a tenant; no row when one is open already, or it leaves.
INSERT INTO agentflow_operations (operation_id, tenant_id, kind, source, target, requested_by, reason)
SELECT :operation_id, :tenant_id, :kind, t.placement, :target, :requested_by, :reason
FROM agentflow_tenants t
WHERE t.tenant_id = :tenant_id AND t.state <> 'offboarding' AND t.placement IS DISTINCT FROM CAST(:target AS int)
ON CONFLICT (tenant_id) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING *

-- name: open_operation
SELECT * FROM agentflow_operations WHERE tenant_id = :tenant_id AND state IN ('queued', 'running')

-- name: get_operation
SELECT * FROM agentflow_operations WHERE operation_id = :operation_id

-- name: list_operations
-- Newest first, those older than the operation :before.
SELECT o.* FROM agentflow_operations o
WHERE (CAST(:tenant_id AS uuid) IS NULL OR o.tenant_id = :tenant_id) AND (CAST(:state AS text) IS NULL OR o.state = :state)
  AND (CAST(:before AS uuid) IS NULL
       OR (o.created_at, o.operation_id) < (SELECT b.created_at, b.operation_id FROM agentflow_operations b
                                            WHERE b.operation_id = :before))
ORDER BY o.created_at DESC, o.operation_id DESC
LIMIT :most

-- name: cancel_operation
-- One that nobody works on yet ends at once; another one is taken back by its holder.
UPDATE agentflow_operations
SET cancel_requested = true,
    finished_at = CASE WHEN state = 'queued' THEN now() END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE operation_id = :operation_id AND state IN ('queued', 'running')
RETURNING *

-- name: take_operation
-- The oldest that nobody works on, for :lease_s.
UPDATE agentflow_operations
SET state = 'running', holder = :holder, held_until = now() + make_interval(secs => :lease_s),
    started_at = coalesce(started_at, now()), attempts = attempts + 1
WHERE operation_id = (
    SELECT operation_id FROM agentflow_operations
    WHERE state = 'queued' OR (state = 'running' AND held_until < now())
    ORDER BY created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- name: hold_operation
-- Go on working; no row when somebody else does now.
UPDATE agentflow_operations SET held_until = now() + make_interval(secs => :lease_s)
WHERE operation_id = :operation_id AND holder = :holder AND state = 'running'
RETURNING cancel_requested

-- name: step_operation
-- What is done, and what comes next.
UPDATE agentflow_operations
SET step = :step, target = coalesce(:target, target), threads_total = coalesce(:threads_total, threads_total),
    threads_moved = threads_moved + :threads, rows_moved = rows_moved + :rows, error = NULL,
    held_until = now() + make_interval(secs => :lease_s)
WHERE operation_id = :operation_id AND holder = :holder AND state = 'running'
RETURNING cancel_requested

-- name: end_operation
UPDATE agentflow_operations
SET state = :state, step = 'end', error = :error, finished_at = now(), holder = NULL, held_until = NULL
WHERE operation_id = :operation_id AND holder = :holder AND state = 'running'
RETURNING *

-- name: put_off_operation
-- It did not work this time; whoever looks after :after_s tries again.
UPDATE agentflow_operations SET error = :error, held_until = now() + make_interval(secs => :after_s)
WHERE operation_id = :operation_id AND holder = :holder AND state = 'running'
RETURNING operation_id

-- name: show_all_tenants
-- For what an operator asked: every tenant's rows, until the transaction ends.
SELECT set_config('agentflow.tenants', coalesce(CAST(array_agg(tenant_id) AS text), ''), true) FROM agentflow_tenants

-- name: tenant_sizes
-- What tenants keep and wrote within about an hour, with the end of their last move. Cost: what was not rolled up yet, and
-- a few rows a tenant.
SELECT t.tenant_id, t.slug, t.placement, t.moving_to, coalesce(k.threads + e.threads, k.threads, e.threads, 0) AS threads,
       coalesce(k.bytes + e.bytes, k.bytes, e.bytes, 0) AS bytes,
       coalesce(e.checkpoints, 0) + coalesce(h.checkpoints, 0) AS checkpoints_last_hour,
       (SELECT max(o.finished_at) FROM agentflow_operations o WHERE o.tenant_id = t.tenant_id) AS moved_at,
       EXISTS (SELECT FROM agentflow_operations o
               WHERE o.tenant_id = t.tenant_id AND o.state IN ('queued', 'running')) AS is_moving
FROM agentflow_tenants t
LEFT JOIN agentflow_usage_totals k ON k.tenant_id = t.tenant_id
LEFT JOIN (
    SELECT tenant_id, sum(threads)::bigint AS threads, sum(bytes)::bigint AS bytes,
           coalesce(sum(checkpoints) FILTER (WHERE at >= now() - interval '1 hour'), 0)::bigint AS checkpoints
    FROM agentflow_usage_events GROUP BY tenant_id
) e ON e.tenant_id = t.tenant_id
CROSS JOIN LATERAL (
    SELECT sum(checkpoints)::bigint AS checkpoints FROM agentflow_usage_hours
    WHERE tenant_id = t.tenant_id AND hour >= now() - interval '2 hours'
) h
ORDER BY bytes DESC, t.slug

-- name: partition_sizes
-- Each placement with the size of its leaves, indexes included, and how many tenants live there.
SELECT p.placement, p.size_bytes, (SELECT count(*) FROM agentflow_tenants t WHERE t.placement = p.placement) AS tenants
FROM (
    SELECT CAST(substring(c.relname FROM '[0-9]+$') AS int) AS placement,
           CAST(sum(pg_total_relation_size(c.oid)) AS bigint) AS size_bytes
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND pg_table_is_visible(p.oid)
    WHERE p.relname IN ('agentflow_threads', 'agentflow_checkpoints', 'agentflow_messages', 'agentflow_tool_calls',
                        'agentflow_writes')
    GROUP BY 1
) p
ORDER BY p.placement

-- name: signing_keys
-- Those that sign or still verify, the one that signs first.
SELECT kid, public_jwk, sealed, retired_at FROM agentflow_signing_keys
WHERE retired_at IS NULL OR retired_at > now() - make_interval(secs => :verifies_s)
ORDER BY retired_at DESC NULLS FIRST

-- name: find_signing_key
SELECT kid FROM agentflow_signing_keys WHERE kid = :kid

-- name: retire_signing_key
-- But for the one that is to sign, which this call's first try may have made.
UPDATE agentflow_signing_keys SET retired_at = now() WHERE retired_at IS NULL AND kid <> :kid

-- name: create_signing_key
-- No row when there is one that signs already.
INSERT INTO agentflow_signing_keys (kid, public_jwk, sealed)
VALUES (:kid, CAST(CAST(:public_jwk AS text) AS jsonb), :sealed)
ON CONFLICT ((true)) WHERE retired_at IS NULL DO NOTHING
RETURNING kid

-- name: hold_tenant
-- Kept as it is until the transaction ends.
SELECT tenant_id FROM agentflow_tenants WHERE tenant_id = :tenant_id FOR NO KEY UPDATE

-- name: count_issuers
SELECT count(*) AS issuers FROM agentflow_issuers WHERE tenant_id = :tenant_id

-- name: create_issuer
INSERT INTO agentflow_issuers (issuer_id, tenant_id, issuer, audience, jwks_uri, jwks, algorithms, scopes, user_claim, scope_claim,
                               limits)
VALUES (:issuer_id, :tenant_id, :issuer, :audience, :jwks_uri, CAST(CAST(:jwks AS text) AS jsonb), :algorithms, :scopes, :user_claim,
        :scope_claim, CAST(CAST(:limits AS text) AS jsonb))
ON CONFLICT (issuer, audience) DO NOTHING
RETURNING *

-- name: get_issuer
SELECT * FROM agentflow_issuers WHERE tenant_id = :tenant_id AND issuer_id = :issuer_id

-- name: list_issuers
SELECT * FROM agentflow_issuers WHERE tenant_id = :tenant_id ORDER BY created_at, issuer_id

-- name: delete_issuer
DELETE FROM agentflow_issuers WHERE tenant_id = :tenant_id AND issuer_id = :issuer_id RETURNING issuer

-- name: find_issuer
-- With its tenant.
SELECT i.issuer_id, i.tenant_id, i.issuer, i.audience, i.jwks_uri, i.jwks, i.algorithms, i.scopes, i.user_claim,
       i.scope_claim, i.limits AS issuer_limits, t.token_epoch, t.created_at, t.slug, t.name, t.state, t.placement, t.moving_to, t.epoch, t.agents, t.default_agent, t.plan, t.limits,
       t.retention_days, t.keep_checkpoints, t.updated_at
FROM agentflow_issuers i JOIN agentflow_tenants t USING (tenant_id)
WHERE i.issuer = :issuer AND i.audience = :audience

-- name: restore_id
-- Of the restore that this server was started from; null for none.
SELECT nullif(current_setting('agentflow.restore', true), '') AS restore_id

-- name: is_unapplied
-- Whether that restore's tombstones are still to be applied.
SELECT NOT EXISTS (SELECT FROM agentflow_restores WHERE restore_id = current_setting('agentflow.restore', true)) AS found

-- name: find_restore
SELECT restore_id FROM agentflow_restores WHERE restore_id = :restore_id
