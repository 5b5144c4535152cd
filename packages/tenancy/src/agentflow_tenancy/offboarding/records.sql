-- Records of what leaves, and receipts, by name.

-- name: create_offboarding
-- No row when one of the same is open already, or this call's first try made it.
INSERT INTO agentflow_offboardings (offboarding_id, tenant_id, kind, slug, slug_digest, user_id, user_digest, state,
                                    state_before, with_export, grace_s, requested_by, grace_until)
SELECT :offboarding_id, t.tenant_id, :kind, t.slug, :slug_digest, :user_id, CAST(:user_digest AS bytea), CAST(:state AS text), t.state, :with_export,
       CAST(:grace_s AS bigint), :requested_by, CASE WHEN CAST(:state AS text) = 'grace' THEN now() + make_interval(secs => CAST(:grace_s AS bigint)) END
FROM agentflow_tenants t WHERE t.tenant_id = :tenant_id
ON CONFLICT DO NOTHING
RETURNING *

-- name: close_tenant
-- Nobody is let in from now on: what is cached is void, and every token has ended for good.
UPDATE agentflow_tenants
SET state = 'offboarding', epoch = epoch + 1, token_epoch = token_epoch + 1, updated_at = now(), suspended_at = NULL
WHERE tenant_id = :tenant_id

-- name: reopen_tenant
-- As it was; tokens of before stay ended.
UPDATE agentflow_tenants
SET state = CAST(:state AS text), epoch = epoch + 1, updated_at = now(), suspended_at = CASE WHEN CAST(:state AS text) = 'suspended' THEN now() END
WHERE tenant_id = :tenant_id AND state = 'offboarding'

-- name: open_offboarding
-- The one that is under way, of the tenant or of one of its users; or the dry run.
SELECT * FROM agentflow_offboardings
WHERE tenant_id = :tenant_id AND coalesce(user_digest, '') = coalesce(CAST(:user_digest AS bytea), '')
  AND finished_at IS NULL AND (state = 'measuring') = :is_dry

-- name: get_offboarding
SELECT * FROM agentflow_offboardings WHERE offboarding_id = :offboarding_id

-- name: list_offboardings
-- Newest first, those older than the offboarding :before.
SELECT o.* FROM agentflow_offboardings o
WHERE (CAST(:tenant_id AS uuid) IS NULL OR o.tenant_id = :tenant_id) AND (CAST(:state AS text) IS NULL OR o.state = :state)
  AND (CAST(:before AS uuid) IS NULL
       OR (o.created_at, o.offboarding_id) < (SELECT b.created_at, b.offboarding_id FROM agentflow_offboardings b
                                              WHERE b.offboarding_id = :before))
ORDER BY o.created_at DESC, o.offboarding_id DESC
LIMIT :most

-- name: cancel_offboarding
-- Until purging begins; no row from then on.
UPDATE agentflow_offboardings
SET state = 'cancelled', finished_at = now(), slug = NULL, user_id = NULL, holder = NULL, held_until = NULL, error = NULL
WHERE offboarding_id = :offboarding_id AND state IN ('suspended', 'exporting', 'grace', 'measuring')
RETURNING *

-- name: skip_grace
-- It ends now; while the step before it is under way, it will end at once.
UPDATE agentflow_offboardings SET grace_s = 0, grace_until = CASE WHEN state = 'grace' THEN now() END
WHERE offboarding_id = :offboarding_id AND state IN ('suspended', 'exporting', 'grace')
RETURNING *

-- name: take_offboarding
-- The oldest that there is something to do for and that nobody works on, for :lease_s.
UPDATE agentflow_offboardings
SET holder = :holder, held_until = now() + make_interval(secs => :lease_s), attempts = attempts + 1,
    state = CASE WHEN state = 'grace' THEN 'purging' ELSE state END
WHERE offboarding_id = (
    SELECT offboarding_id FROM agentflow_offboardings
    WHERE finished_at IS NULL AND (held_until IS NULL OR held_until < now()) AND (state <> 'grace' OR grace_until <= now())
    ORDER BY created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- name: hold_offboarding
-- Go on working; no row when somebody else does now, or it was cancelled.
UPDATE agentflow_offboardings SET held_until = now() + make_interval(secs => :lease_s)
WHERE offboarding_id = :offboarding_id AND holder = :holder AND finished_at IS NULL
RETURNING offboarding_id

-- name: step_offboarding
-- What is done, and what comes next; :counts are added to those of before.
UPDATE agentflow_offboardings
SET state = CAST(:state AS text), step = :step, error = NULL, held_until = now() + make_interval(secs => :lease_s),
    fenced_at = CASE WHEN CAST(:fenced AS boolean) THEN coalesce(fenced_at, now()) ELSE fenced_at END,
    grace_until = CASE WHEN CAST(:state AS text) = 'grace' THEN now() + make_interval(secs => grace_s) ELSE grace_until END,
    placements = coalesce(CAST(:placements AS int[]), placements),
    threads_total = coalesce(:threads_total, threads_total),
    counts = counts || (SELECT coalesce(jsonb_object_agg(c.key, coalesce((counts ->> c.key)::bigint, 0) + c.value::bigint), '{}')
                        FROM jsonb_each_text(CAST(CAST(:counts AS text) AS jsonb)) c)
WHERE offboarding_id = :offboarding_id AND holder = :holder AND finished_at IS NULL
RETURNING *

-- name: leave_offboarding
-- Nothing is to be done for now: whoever looks when it is time takes it.
UPDATE agentflow_offboardings SET holder = NULL, held_until = NULL
WHERE offboarding_id = :offboarding_id AND holder = :holder AND finished_at IS NULL

-- name: put_off_offboarding
-- It did not work this time; whoever looks after :after_s tries again.
UPDATE agentflow_offboardings SET error = :error, held_until = now() + make_interval(secs => :after_s)
WHERE offboarding_id = :offboarding_id AND holder = :holder AND finished_at IS NULL

-- name: end_measuring
UPDATE agentflow_offboardings
SET state = 'measured', counts = CAST(CAST(:counts AS text) AS jsonb), placements = CAST(:placements AS int[]),
    threads_total = :threads_total, slug = NULL, user_id = NULL, finished_at = now(), holder = NULL, held_until = NULL, error = NULL
WHERE offboarding_id = :offboarding_id AND holder = :holder AND finished_at IS NULL
RETURNING *

-- name: end_purge
-- The last change of it. Its line of the audit log went with its tenant's; the receipt says all that there was.
UPDATE agentflow_offboardings
SET state = 'purged', step = 'end', slug = NULL, user_id = NULL, error = NULL, finished_at = now(), holder = NULL, held_until = NULL
WHERE offboarding_id = :offboarding_id AND holder = :holder AND state = 'verifying'
RETURNING *

-- name: hold_chain
-- One receipt after the other, so that their numbers have no gap.
LOCK TABLE agentflow_receipts IN SHARE ROW EXCLUSIVE MODE

-- name: last_receipt
SELECT sequence, body, now() AS now FROM agentflow_receipts ORDER BY sequence DESC LIMIT 1

-- name: database_time
SELECT now() AS now

-- name: create_receipt
INSERT INTO agentflow_receipts (receipt_id, sequence, issued_at, tenant_id, body, jws, key_id, previous)
VALUES (:receipt_id, :sequence, :issued_at, :tenant_id, :body, :jws, :key_id, :previous)

-- name: create_tombstone
INSERT INTO agentflow_tombstones (receipt_id, tenant_id, user_digest, purged_at)
VALUES (:receipt_id, :tenant_id, :user_digest, :purged_at)

-- name: get_receipt
SELECT receipt_id, sequence, tenant_id, body, jws, key_id FROM agentflow_receipts WHERE receipt_id = :receipt_id

-- name: list_receipts
-- In the order of the chain, those behind :after.
SELECT receipt_id, sequence, tenant_id, body, jws, key_id FROM agentflow_receipts
WHERE sequence > :after ORDER BY sequence LIMIT :most

-- name: receipt_keys
-- Every key that a receipt was signed with, and the one that signs.
SELECT kid, public_jwk FROM agentflow_signing_keys k
WHERE retired_at IS NULL OR EXISTS (SELECT FROM agentflow_receipts r WHERE r.key_id = k.kid)
ORDER BY created_at, kid

-- name: ended_key
SELECT receipt_id FROM agentflow_ended_keys WHERE digest = :digest

-- name: gone_tenant
SELECT receipt_id FROM agentflow_tombstones WHERE tenant_id = :tenant_id AND user_digest IS NULL LIMIT 1

-- name: recently_gone
-- Tenants whose receipts are not older than :within_s.
SELECT tenant_id FROM agentflow_tombstones
WHERE user_digest IS NULL AND purged_at > now() - make_interval(secs => :within_s)
ORDER BY purged_at
