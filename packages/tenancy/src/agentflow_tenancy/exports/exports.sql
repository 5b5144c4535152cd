-- Exports and imports as records, by name. Each statement names the tenant, but for those of the worker, which looks for
-- work over all tenants.

-- name: show_tenant
-- Whose rows row level security shows until the transaction ends.
SELECT set_config('agentflow.tenants', :shown, true)

-- name: create_export
-- No row when there is one of this id: this call's own first try.
INSERT INTO agentflow_exports (tenant_id, export_id, kind, step, thread_id, user_id, digest, size_bytes, requested_by)
VALUES (:tenant_id, :export_id, :kind, :step, :thread_id, :user_id, :digest, :size_bytes, :requested_by)
ON CONFLICT (tenant_id, export_id) DO NOTHING
RETURNING *

-- name: reopen_import
-- One of the same archive that ended half-way goes on where it stood.
UPDATE agentflow_exports
SET state = 'queued', step = 'check', cancel_requested = false, error = NULL, error_code = NULL, finished_at = NULL,
    expires_at = NULL
WHERE tenant_id = :tenant_id AND export_id = (
    SELECT export_id FROM agentflow_exports
    WHERE tenant_id = :tenant_id AND kind = 'import' AND digest = :digest AND state IN ('failed', 'cancelled')
    ORDER BY created_at DESC
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- name: open_import
SELECT * FROM agentflow_exports
WHERE tenant_id = :tenant_id AND kind = 'import' AND digest = :digest AND state IN ('queued', 'running')
LIMIT 1

-- name: find_import
SELECT * FROM agentflow_exports
WHERE tenant_id = :tenant_id AND kind = 'import' AND digest = :digest
  AND state IN ('queued', 'running', 'failed', 'cancelled')
ORDER BY created_at DESC
LIMIT 1

-- name: get_export
SELECT * FROM agentflow_exports WHERE tenant_id = :tenant_id AND export_id = :export_id

-- name: list_exports
-- Of one kind, newest first, those older than :before.
SELECT e.* FROM agentflow_exports e
WHERE e.tenant_id = :tenant_id AND e.kind = :kind
  AND (CAST(:before AS uuid) IS NULL
       OR (e.created_at, e.export_id) < (SELECT b.created_at, b.export_id FROM agentflow_exports b
                                         WHERE b.tenant_id = :tenant_id AND b.export_id = :before))
ORDER BY e.created_at DESC, e.export_id DESC
LIMIT :most

-- name: count_open_exports
SELECT count(*) AS open FROM agentflow_exports
WHERE tenant_id = :tenant_id AND state IN ('queued', 'running')

-- name: cancel_export
-- One that nobody works on ends at once, another one by its holder.
UPDATE agentflow_exports
SET cancel_requested = true,
    finished_at = CASE WHEN state = 'queued' THEN now() END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE tenant_id = :tenant_id AND export_id = :export_id AND state IN ('queued', 'running')
RETURNING *

-- name: take_export
-- The oldest that nobody works on, of any tenant, for :lease_s.
UPDATE agentflow_exports e
SET state = 'running', holder = :holder, held_until = now() + make_interval(secs => :lease_s),
    started_at = coalesce(e.started_at, now()), attempts = e.attempts + 1
FROM (
    SELECT tenant_id, export_id FROM agentflow_exports
    WHERE state = 'queued' OR (state = 'running' AND held_until < now())
    ORDER BY created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) free
WHERE e.tenant_id = free.tenant_id AND e.export_id = free.export_id
RETURNING e.*

-- name: hold_export
-- Go on working; no row when somebody else does now.
UPDATE agentflow_exports SET held_until = now() + make_interval(secs => :lease_s)
WHERE tenant_id = :tenant_id AND export_id = :export_id AND holder = :holder AND state = 'running'
RETURNING cancel_requested

-- name: note_export
-- What is done.
UPDATE agentflow_exports
SET step = :step, after = :after, threads_done = :threads_done, size_bytes = :size_bytes,
    threads_total = coalesce(:threads_total, threads_total), error = NULL, error_code = NULL,
    held_until = now() + make_interval(secs => :lease_s)
WHERE tenant_id = :tenant_id AND export_id = :export_id AND holder = :holder AND state = 'running'
RETURNING cancel_requested

-- name: end_export
-- What an offboarding asked for is there until its grace is over.
UPDATE agentflow_exports
SET state = :state, step = CASE WHEN :state = 'done' THEN 'end' ELSE step END, error = :error, error_code = :error_code,
    digest = coalesce(:digest, digest), size_bytes = coalesce(:size_bytes, size_bytes), finished_at = now(),
    expires_at = CASE WHEN kind = 'export' THEN now() + make_interval(secs => CAST(:keep_s AS float8) + coalesce(
        (SELECT o.grace_s FROM agentflow_offboardings o
         WHERE o.offboarding_id = agentflow_exports.export_id AND o.finished_at IS NULL), 0)) END,
    holder = NULL, held_until = NULL
WHERE tenant_id = :tenant_id AND export_id = :export_id AND holder = :holder AND state = 'running'
RETURNING *

-- name: put_off_export
-- It did not work this time; whoever looks after :after_s tries again.
UPDATE agentflow_exports SET error = :error, held_until = now() + make_interval(secs => :after_s)
WHERE tenant_id = :tenant_id AND export_id = :export_id AND holder = :holder AND state = 'running'
RETURNING export_id

-- name: expire_exports
-- Of any tenant: those whose files are to go, :most at a time.
UPDATE agentflow_exports e SET state = 'expired'
FROM (
    SELECT tenant_id, export_id FROM agentflow_exports
    WHERE state = 'done' AND kind = 'export' AND expires_at <= now()
    ORDER BY expires_at
    LIMIT :most
    FOR UPDATE SKIP LOCKED
) old
WHERE e.tenant_id = old.tenant_id AND e.export_id = old.export_id
RETURNING e.tenant_id, e.export_id

-- name: needed_files
-- Of any tenant: what somebody works on or is to, and archives that are kept.
SELECT tenant_id, export_id, kind, state, digest FROM agentflow_exports WHERE state IN ('queued', 'running')
UNION ALL
SELECT tenant_id, export_id, kind, state, digest FROM agentflow_exports WHERE state = 'done' AND kind = 'export'

-- name: expire_export
-- Before its time, at its tenant's wish.
UPDATE agentflow_exports SET state = 'expired', expires_at = now()
WHERE tenant_id = :tenant_id AND export_id = :export_id AND state = 'done' AND kind = 'export'
RETURNING *
