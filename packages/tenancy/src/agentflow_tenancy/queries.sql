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
