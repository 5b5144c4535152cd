-- The control plane's statements, by name.

-- name: ping
SELECT 1 AS one

-- name: find_key
-- A key with its tenant, on the database's clock.
SELECT k.key_id, k.digest, k.scopes, k.expires_at,
       k.revoked_at IS NOT NULL AS revoked, coalesce(k.expires_at <= now(), false) AS expired,
       t.tenant_id, t.slug, t.state, t.placement, t.epoch, t.agents, t.default_agent
FROM agentflow_api_keys k JOIN agentflow_tenants t USING (tenant_id)
WHERE k.key_id = :key_id

-- name: find_tenant
SELECT tenant_id, slug, state, placement, epoch, agents, default_agent
FROM agentflow_tenants WHERE slug = :slug

-- name: create_tenant
-- Into the pool partition with the fewest tenants.
INSERT INTO agentflow_tenants (slug, placement, agents, default_agent)
SELECT :slug, p.placement, CAST(:agents AS text[]), :default_agent
FROM unnest(CAST(:placements AS int[])) AS p (placement)
LEFT JOIN agentflow_tenants t ON t.placement = p.placement
GROUP BY p.placement
ORDER BY count(t.tenant_id), p.placement
LIMIT 1
ON CONFLICT (slug) DO NOTHING
RETURNING tenant_id, slug, state, placement, epoch, agents, default_agent

-- name: create_key
INSERT INTO agentflow_api_keys (key_id, tenant_id, digest, name, scopes, expires_at)
VALUES (:key_id, :tenant_id, :digest, :name, :scopes, :expires_at)

-- name: revoke_key
UPDATE agentflow_api_keys SET revoked_at = coalesce(revoked_at, now())
WHERE key_id = :key_id AND tenant_id = :tenant_id
RETURNING key_id

-- name: set_tenant_state
UPDATE agentflow_tenants SET state = :state, epoch = epoch + 1 WHERE tenant_id = :tenant_id RETURNING tenant_id

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
                    'agentflow_writes', 'agentflow_placements', 'agentflow_usage_events', 'agentflow_usage_hours')
  AND pg_table_is_visible(c.oid) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
