-- The statements of runs. Those of the API name the tenant first (`show_tenant`); those of the worker see every tenant.

-- name: show_tenant
SELECT set_config('agentflow.tenants', :shown, true)

-- name: create_run
-- A run that waits, or with a holder one that begins at once. No row when its thread has an open run and it must be alone,
-- nor when :most_queued runs of the tenant wait already.
WITH s AS MATERIALIZED (
    SELECT set_config('agentflow.tenants', '{' || CAST(CAST(:tenant_id AS uuid) AS text) || '}', true) AS tenants)
INSERT INTO agentflow_runs (tenant_id, run_id, thread_id, user_id, key_id, agent, kind, strategy, status, input, metadata,
                            webhook, traceparent, ready_at, attempts, started_at, holder, held_until)
SELECT :tenant_id, :run_id, :thread_id, :user_id, :key_id, :agent, :kind, :strategy,
       CASE WHEN CAST(:holder AS uuid) IS NULL THEN 'pending' ELSE 'running' END, :input, :metadata, :webhook, :traceparent,
       now() + make_interval(secs => :after_s), CASE WHEN CAST(:holder AS uuid) IS NULL THEN 0 ELSE 1 END,
       CASE WHEN CAST(:holder AS uuid) IS NULL THEN NULL ELSE now() END, CAST(:holder AS uuid),
       CASE WHEN CAST(:holder AS uuid) IS NULL THEN NULL ELSE now() + make_interval(secs => :lease_s) END
FROM s
WHERE s.tenants IS NOT NULL AND (:strategy <> 'reject' OR NOT EXISTS (
    SELECT FROM agentflow_runs o
    WHERE o.tenant_id = :tenant_id AND o.thread_id = :thread_id AND o.status IN ('pending', 'running')))
  AND (CAST(:most_queued AS bigint) IS NULL OR CAST(:most_queued AS bigint) > (
    SELECT count(*) FROM (SELECT FROM agentflow_runs q WHERE q.tenant_id = :tenant_id AND q.status = 'pending'
                          LIMIT CAST(:most_queued AS bigint)) waiting))
ON CONFLICT (tenant_id, run_id) DO NOTHING
RETURNING *, now() AS read_at

-- name: lock_queue
-- Where the queue is nearly full a tenant's runs are made one after the other, so that the count is exact.
SELECT pg_advisory_xact_lock(hashtextextended('queue ' || CAST(CAST(:tenant_id AS uuid) AS text), 0))

-- name: count_queued
-- Those that wait, as far as :most.
SELECT count(*) AS queued FROM (SELECT FROM agentflow_runs WHERE tenant_id = :tenant_id AND status = 'pending' LIMIT :most) q

-- name: lock_thread_runs
-- Two runs that each want to be alone on a thread are made one after the other.
SELECT pg_advisory_xact_lock(hashtextextended(CAST(CAST(:tenant_id AS uuid) AS text) || ' ' || :thread_id, 0))

-- name: get_run
SELECT *, now() AS read_at FROM agentflow_runs
WHERE tenant_id = :tenant_id AND run_id = :run_id AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)

-- name: list_runs
-- Newest first. A run whose holder is gone counts as one that waits.
SELECT *, now() AS read_at FROM agentflow_runs
WHERE tenant_id = :tenant_id AND order_no < :before
  AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
  AND (CAST(:thread_id AS text) IS NULL OR thread_id = :thread_id)
  AND (CAST(:status AS text) IS NULL
       OR CASE WHEN status = 'running' AND held_until < now() THEN 'pending' ELSE status END = :status)
ORDER BY order_no DESC
LIMIT :most

-- name: list_open_runs
-- The same of those that are not over: found among the few of them, however many there were.
SELECT *, now() AS read_at FROM agentflow_runs
WHERE tenant_id = :tenant_id AND order_no < :before AND status IN ('pending', 'running')
  AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
  AND (CAST(:thread_id AS text) IS NULL OR thread_id = :thread_id)
  AND CASE WHEN status = 'running' AND held_until < now() THEN 'pending' ELSE status END = :status
ORDER BY order_no DESC
LIMIT :most

-- name: cancel_waiting_run
-- One that nobody works on ends at once.
UPDATE agentflow_runs SET status = 'cancelled', cancel = :action, finished_at = now()
WHERE tenant_id = :tenant_id AND run_id = :run_id AND status = 'pending' AND attempts = 0
RETURNING *, now() AS read_at

-- name: cancel_run
-- One that was begun: whoever holds it, or takes it over, ends it.
UPDATE agentflow_runs SET cancel = CASE WHEN cancel = 'rollback' THEN cancel ELSE :action END, ready_at = least(ready_at, now())
WHERE tenant_id = :tenant_id AND run_id = :run_id AND status IN ('pending', 'running')
RETURNING *, now() AS read_at

-- name: open_runs_of_thread
SELECT *, now() AS read_at FROM agentflow_runs
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND status IN ('pending', 'running') AND run_id <> :run_id
ORDER BY order_no

-- name: take_run
-- A run that nobody works on: of the tenant with the fewest at work, its oldest one that no older run of its thread stands
-- before. Cost: a few index entries for each tenant with open runs.
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM agentflow_runs WHERE status IN ('pending', 'running') ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant_id FROM agentflow_runs r WHERE r.status IN ('pending', 'running') AND r.tenant_id > t.tenant_id
            ORDER BY r.tenant_id LIMIT 1)
    FROM tenants t WHERE t.tenant_id IS NOT NULL
),
loads AS (
    SELECT t.tenant_id, (SELECT count(*) FROM agentflow_runs r
                         WHERE r.tenant_id = t.tenant_id AND r.status = 'running' AND r.held_until > now()) AS load
    FROM tenants t WHERE t.tenant_id IS NOT NULL
),
candidates AS (
    SELECT l.load, c.tenant_id, c.run_id, c.ready_at
    FROM loads l
    CROSS JOIN LATERAL (
        SELECT r.tenant_id, r.run_id, r.ready_at FROM agentflow_runs r
        WHERE r.tenant_id = l.tenant_id AND r.status IN ('pending', 'running')
          AND r.ready_at <= now() AND (r.held_until IS NULL OR r.held_until < now())
          AND NOT EXISTS (SELECT FROM agentflow_runs o
                          WHERE o.tenant_id = r.tenant_id AND o.thread_id = r.thread_id AND o.order_no < r.order_no
                            AND o.status IN ('pending', 'running') AND (o.attempts > 0 OR o.ready_at <= now()))
        ORDER BY r.order_no
        LIMIT 4
    ) c
),
chosen AS (
    SELECT r.tenant_id, r.run_id FROM candidates c JOIN agentflow_runs r USING (tenant_id, run_id)
    WHERE r.status IN ('pending', 'running') AND r.ready_at <= now() AND (r.held_until IS NULL OR r.held_until < now())
    ORDER BY c.load, c.ready_at, c.run_id
    LIMIT 1
    FOR UPDATE OF r SKIP LOCKED
)
UPDATE agentflow_runs r
SET status = 'running', holder = :holder, held_until = now() + make_interval(secs => :lease_s), attempts = attempts + 1,
    crashes = crashes + CAST(r.status = 'running' AS int), started_at = coalesce(started_at, now())
FROM chosen c
WHERE r.tenant_id = c.tenant_id AND r.run_id = c.run_id
RETURNING r.*, now() AS read_at

-- name: waiting_runs
-- Whether there is something to take, or soon will be: seconds until then, null when there is nothing.
SELECT CAST(extract(epoch FROM min(greatest(ready_at, coalesce(held_until, ready_at))) - now()) AS float8) AS after_s
FROM agentflow_runs WHERE status IN ('pending', 'running') AND (held_until IS NULL OR held_until < now() + interval '60 seconds')

-- name: hold_run
-- Go on working; no row when somebody else does now, or it is over. A suspended tenant's runs are to stop.
UPDATE agentflow_runs SET held_until = now() + make_interval(secs => :lease_s)
WHERE tenant_id = :tenant_id AND run_id = :run_id AND holder = :holder AND status = 'running'
RETURNING CASE WHEN EXISTS (SELECT FROM agentflow_tenants t WHERE t.tenant_id = :tenant_id AND t.state <> 'active')
               THEN 'interrupt' ELSE cancel END AS cancel

-- name: add_chunks
-- Keep what a run said, behind what it said before. No row when somebody else works on it now: then nothing is kept. Said
-- again after a lost reply it changes nothing. In one round trip: an UPDATE cannot hang on the setting's row, an upsert of a row
-- that is locked, and so there, can; what it would insert is never stored.
WITH s AS MATERIALIZED (
    SELECT set_config('agentflow.tenants', '{' || CAST(CAST(:tenant_id AS uuid) AS text) || '}', true) AS tenants),
there AS MATERIALIZED (
    SELECT q.* FROM s CROSS JOIN LATERAL (
        SELECT tenant_id, run_id, chunks, cancel FROM agentflow_runs
        WHERE s.tenants IS NOT NULL AND tenant_id = :tenant_id AND run_id = :run_id AND holder = :holder AND status = 'running'
        OFFSET 0
        FOR NO KEY UPDATE
    ) q
),
held AS (
    INSERT INTO agentflow_runs AS r (tenant_id, run_id, thread_id, key_id, agent, kind, strategy, status, input)
    SELECT tenant_id, run_id, '', '', '', 'stream', 'enqueue', 'pending', '' FROM there WHERE chunks = :seq
    ON CONFLICT (tenant_id, run_id) DO UPDATE
    SET chunks = r.chunks + cardinality(CAST(:bodies AS text[])), held_until = now() + make_interval(secs => :lease_s)
    RETURNING r.cancel
),
added AS (
    INSERT INTO agentflow_run_chunks (tenant_id, run_id, seq, body)
    SELECT :tenant_id, :run_id, :seq + b.place - 1, b.body
    FROM held, unnest(CAST(:bodies AS text[])) WITH ORDINALITY AS b (body, place)
)
SELECT cancel FROM held
UNION ALL
SELECT cancel FROM there WHERE chunks = :seq + cardinality(CAST(:bodies AS text[]))

-- name: end_run
-- It is over. No row when somebody else works on it now.
UPDATE agentflow_runs
SET status = :status, error = :error, cancel = CASE WHEN :status = 'cancelled' THEN coalesce(cancel, 'interrupt') ELSE cancel END,
    finished_at = now(), holder = NULL, held_until = NULL
WHERE tenant_id = :tenant_id AND run_id = :run_id AND holder = :holder AND status = 'running'
RETURNING *, now() AS read_at

-- name: put_back_run
-- It goes on later, with whoever takes it then.
UPDATE agentflow_runs SET status = 'pending', holder = NULL, held_until = NULL, ready_at = now() + make_interval(secs => :after_s)
WHERE tenant_id = :tenant_id AND run_id = :run_id AND holder = :holder AND status = 'running'
RETURNING *, now() AS read_at

-- name: note_webhook
-- Its address was told once more.
UPDATE agentflow_runs
SET webhook_attempts = webhook_attempts + 1, webhook_tried_at = now(), webhook_answer = CAST(:answer AS int),
    webhook_error = CAST(:error AS text), webhook_delivered_at = CASE WHEN CAST(:error AS text) IS NULL THEN now() END
WHERE tenant_id = :tenant_id AND run_id = :run_id AND finished_at IS NOT NULL AND webhook_delivered_at IS NULL
RETURNING *, now() AS read_at

-- name: chunks_after
-- No more than the size given, but one at least. A body's size is known without reading it.
SELECT seq, body FROM (
    SELECT seq, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before_bytes
    FROM (SELECT seq, body FROM agentflow_run_chunks
          WHERE tenant_id = :tenant_id AND run_id = :run_id AND seq > :after ORDER BY seq LIMIT :most) AS next
) AS sized
WHERE before_bytes < :most_bytes
ORDER BY seq

-- name: forget_chunks
-- What runs said that ended a while ago.
WITH old AS (
    SELECT tenant_id, run_id FROM agentflow_runs
    WHERE finished_at < now() - make_interval(secs => :older_than_s)
      AND EXISTS (SELECT FROM agentflow_run_chunks c WHERE c.tenant_id = agentflow_runs.tenant_id AND c.run_id = agentflow_runs.run_id)
    ORDER BY finished_at DESC LIMIT :most
),
gone AS (DELETE FROM agentflow_run_chunks c USING old o WHERE c.tenant_id = o.tenant_id AND c.run_id = o.run_id)
SELECT count(*) AS forgotten FROM old

-- name: forget_runs
-- Runs that ended long ago.
WITH old AS (
    SELECT tenant_id, run_id FROM agentflow_runs WHERE finished_at < now() - make_interval(secs => :older_than_s)
    ORDER BY finished_at LIMIT :most
),
chunks AS (DELETE FROM agentflow_run_chunks c USING old o WHERE c.tenant_id = o.tenant_id AND c.run_id = o.run_id),
gone AS (DELETE FROM agentflow_runs r USING old o WHERE r.tenant_id = o.tenant_id AND r.run_id = o.run_id)
SELECT count(*) AS forgotten FROM old

-- name: forget_run
DELETE FROM agentflow_runs
WHERE tenant_id = :tenant_id AND run_id = :run_id AND holder = :holder AND status = 'running' AND chunks = 0

-- name: claim_key
-- Ours to work on: a new key, one that is kept no more, or one that nobody works on. No row otherwise, nor for a tenant that
-- is gone. One that goes before this is committed waits for it, by the foreign key.
INSERT INTO agentflow_idempotency AS k (tenant_id, key, fingerprint, effect_id, held_until)
SELECT :tenant_id, :key, :fingerprint, :effect_id, now() + make_interval(secs => :lease_s)
WHERE CAST(:tenant_id AS uuid) = '00000000-0000-0000-0000-000000000000'
   OR EXISTS (SELECT FROM agentflow_tenants t WHERE t.tenant_id = :tenant_id)
ON CONFLICT (tenant_id, key) DO UPDATE
SET held_until = excluded.held_until, fingerprint = excluded.fingerprint,
    attempts = CASE WHEN k.created_at < now() - make_interval(secs => :kept_s) THEN 1 ELSE k.attempts + 1 END,
    effect_id = CASE WHEN k.created_at < now() - make_interval(secs => :kept_s) THEN excluded.effect_id ELSE k.effect_id END,
    status = NULL, body = NULL,
    created_at = CASE WHEN k.created_at < now() - make_interval(secs => :kept_s) THEN now() ELSE k.created_at END
WHERE k.created_at < now() - make_interval(secs => :kept_s)
   OR (k.status IS NULL AND k.held_until < now() AND k.fingerprint = excluded.fingerprint)
RETURNING effect_id, attempts, created_at

-- name: get_key
SELECT fingerprint, effect_id, status, body FROM agentflow_idempotency WHERE tenant_id = :tenant_id AND key = :key

-- name: has_tenant
SELECT tenant_id FROM agentflow_tenants WHERE tenant_id = :tenant_id

-- name: hold_key
UPDATE agentflow_idempotency SET held_until = now() + make_interval(secs => :lease_s)
WHERE tenant_id = :tenant_id AND key = :key AND effect_id = :effect_id AND attempts = :attempts AND status IS NULL

-- name: answer_key
-- One that may hold what went meanwhile, by `end_claims`, is not kept: whoever asks again goes on.
UPDATE agentflow_idempotency
SET status = CASE WHEN body IS NULL THEN CAST(:status AS int) END,
    body = CASE WHEN body IS NULL THEN CAST(:body AS text) ELSE body END,
    held_until = CASE WHEN body IS NULL THEN held_until ELSE now() - interval '1 second' END
WHERE tenant_id = :tenant_id AND key = :key AND effect_id = :effect_id AND attempts = :attempts AND status IS NULL

-- name: let_key_go
-- It did not work out this time: whoever asks again goes on.
UPDATE agentflow_idempotency SET held_until = now() - interval '1 second'
WHERE tenant_id = :tenant_id AND key = :key AND effect_id = :effect_id AND attempts = :attempts AND status IS NULL

-- name: drop_key
-- Nothing was done: the key is free for another try, whatever it asks.
DELETE FROM agentflow_idempotency
WHERE tenant_id = :tenant_id AND key = :key AND effect_id = :effect_id AND attempts = 1 AND status IS NULL

-- name: forget_keys
DELETE FROM agentflow_idempotency WHERE created_at < now() - make_interval(secs => :kept_s)

-- name: forget_ticket_log
-- What the queue noted of its work; nobody asks for what is older.
DELETE FROM agentflow_pgqueuer_log WHERE created < now() - make_interval(secs => :older_than_s)

-- name: put_remote_tools
-- Those of the same name take the place of what was there. No row when there would be too many.
WITH given AS (
    SELECT * FROM unnest(CAST(:nodes AS text[]), CAST(:names AS text[]), CAST(:descriptions AS text[]), CAST(:parameters AS text[]))
                  AS g (node, name, description, parameters)
),
room AS (
    SELECT 1 WHERE (SELECT count(*) FROM agentflow_remote_tools t
                    WHERE t.tenant_id = :tenant_id AND t.agent = :agent
                      AND NOT EXISTS (SELECT FROM given g WHERE g.node = t.node AND g.name = t.name))
                   + (SELECT count(*) FROM given) <= :most
)
INSERT INTO agentflow_remote_tools (tenant_id, agent, node, name, description, parameters)
SELECT :tenant_id, :agent, g.node, g.name, g.description, g.parameters FROM given g, room
ON CONFLICT (tenant_id, agent, node, name)
DO UPDATE SET description = excluded.description, parameters = excluded.parameters, updated_at = now()
RETURNING name

-- name: remote_tools
SELECT node, name, description, parameters FROM agentflow_remote_tools
WHERE tenant_id = :tenant_id AND agent = :agent ORDER BY node, name

-- name: purge_tickets
-- Of a tenant that leaves: those that name it, and what was noted of any that did.
WITH named AS (
    SELECT id FROM agentflow_pgqueuer WHERE position(convert_to(:needle, 'UTF8') IN payload) > 0
), log AS (
    DELETE FROM agentflow_pgqueuer_log
    WHERE job_id IN (SELECT id FROM named) OR strpos(CAST(traceback AS text), :needle) > 0
       OR strpos(CAST(traceback AS text), :prefix) > 0
), gone AS (
    DELETE FROM agentflow_pgqueuer WHERE id IN (SELECT id FROM named) RETURNING id
)
SELECT count(*) AS purged FROM gone

-- name: count_tickets
SELECT (SELECT count(*) FROM agentflow_pgqueuer WHERE position(convert_to(:needle, 'UTF8') IN payload) > 0)
     + (SELECT count(*) FROM agentflow_pgqueuer_log
        WHERE strpos(CAST(traceback AS text), :needle) > 0 OR strpos(CAST(traceback AS text), :prefix) > 0) AS found

-- name: purge_runs_of_user
-- What hangs below a user's runs, whatever threads they were of; and tickets of the tenant whose run is gone, or goes now: those
-- of a user's threads went with these.
WITH own AS (
    SELECT run_id, thread_id FROM agentflow_runs
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND created_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
), tickets AS (
    DELETE FROM agentflow_pgqueuer q
    WHERE position(convert_to(CAST(CAST(:tenant_id AS uuid) AS text), 'UTF8') IN q.payload) > 0
      AND NOT EXISTS (SELECT FROM agentflow_runs r
                      WHERE r.tenant_id = :tenant_id
                        AND (r.user_id IS DISTINCT FROM :user_id OR r.created_at > coalesce(CAST(:until AS timestamptz), 'infinity'))
                        AND r.run_id = CAST(CAST(convert_from(q.payload, 'UTF8') AS json) ->> 'run_id' AS uuid))
    RETURNING q.id
), chunks AS (
    DELETE FROM agentflow_run_chunks c USING own o WHERE c.tenant_id = :tenant_id AND c.run_id = o.run_id
), traces AS (
    DELETE FROM agentflow_run_traces t USING own o
    WHERE t.tenant_id = :tenant_id AND t.thread_id = o.thread_id AND t.run_id = CAST(o.run_id AS text)
), answers AS (
    DELETE FROM agentflow_idempotency k USING own o WHERE k.tenant_id = :tenant_id AND k.effect_id = o.run_id
), gone AS (
    DELETE FROM agentflow_runs r USING own o WHERE r.tenant_id = :tenant_id AND r.run_id = o.run_id RETURNING r.run_id
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM tickets) AS purged

-- name: end_claims
-- Who works at this moment on what may hold something that goes keeps its claim, but no answer: an empty body says so. Who asks
-- again goes on with the same effect. Of a user: not the tenant's runs of others, nor what the operator has made for others.
UPDATE agentflow_idempotency k SET body = ''
WHERE k.status IS NULL AND k.body IS NULL
  AND ((k.tenant_id = :tenant_id
        AND NOT (:of_user AND EXISTS (SELECT FROM agentflow_runs r
                                      WHERE r.tenant_id = :tenant_id AND r.run_id = k.effect_id
                                        AND r.user_id IS DISTINCT FROM CAST(:user_id AS text))))
       OR (k.tenant_id = '00000000-0000-0000-0000-000000000000'
           AND (:of_user OR NOT EXISTS (SELECT FROM agentflow_receipts r
                                        WHERE r.tenant_id = :tenant_id AND r.issued_at <= k.created_at))
           AND NOT EXISTS (SELECT FROM agentflow_exports e
                           WHERE e.export_id = k.effect_id AND e.tenant_id <> :tenant_id)
           AND NOT EXISTS (SELECT FROM agentflow_offboardings o
                           WHERE o.offboarding_id = k.effect_id AND o.tenant_id <> :tenant_id)))

-- name: purge_operators_answers
-- What was answered to the operator, under keys of its own: what names the tenant, one of its keys, exports and imports; of a
-- user only their exports, and what has both their name and their tenant: another tenant's user may have the same name.
WITH named AS (
    SELECT CAST(CAST(:tenant_id AS uuid) AS text) AS name WHERE NOT :of_user
    UNION ALL SELECT k.key_id FROM agentflow_api_keys k WHERE k.tenant_id = :tenant_id AND NOT :of_user
    UNION ALL SELECT CAST(e.export_id AS text) FROM agentflow_exports e
              WHERE e.tenant_id = :tenant_id AND (NOT :of_user OR e.user_id = CAST(:user_id AS text))
), gone AS (
    DELETE FROM agentflow_idempotency k
    WHERE k.tenant_id = '00000000-0000-0000-0000-000000000000' AND k.created_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
      AND (EXISTS (SELECT FROM named n WHERE strpos(k.body, CAST(to_json(n.name) AS text)) > 0)
           OR (:of_user AND (strpos(k.body, CAST(to_json(CAST(CAST(:tenant_id AS uuid) AS text)) AS text)) > 0
                             OR strpos(k.body, '"slug":' || CAST(to_json(CAST(:slug AS text)) AS text)) > 0)
               AND EXISTS (SELECT FROM string_to_table(k.body, '"user_id"') p
                           WHERE substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")')
                                 = CAST(to_json(CAST(:user_id AS text)) AS text))))
    RETURNING k.key
)
SELECT count(*) AS purged FROM gone

-- name: count_operators_answers
SELECT count(*) AS found FROM agentflow_idempotency k
WHERE k.tenant_id = '00000000-0000-0000-0000-000000000000'
  AND (strpos(k.body, CAST(to_json(CAST(CAST(:tenant_id AS uuid) AS text)) AS text)) > 0
       OR (:of_user AND strpos(k.body, '"slug":' || CAST(to_json(CAST(:slug AS text)) AS text)) > 0))
  AND (NOT :of_user OR EXISTS (SELECT FROM string_to_table(k.body, '"user_id"') p
                               WHERE substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")')
                                     = CAST(to_json(CAST(:user_id AS text)) AS text)))

-- name: purge_users_answers
-- What a tenant was answered that names a user of it, and the name where the audit log has it: that something was done stays. By
-- the field: any other word of an answer may be somebody's name.
WITH gone AS (
    DELETE FROM agentflow_idempotency k
    WHERE k.tenant_id = :tenant_id AND k.created_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
      AND EXISTS (SELECT FROM string_to_table(k.body, '"user_id"') p
                  WHERE substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")')
                        = CAST(to_json(CAST(:user_id AS text)) AS text))
    RETURNING 1
), hidden AS (
    UPDATE agentflow_audit_log SET details = details - 'user_id'
    WHERE tenant_id = :tenant_id AND details ->> 'user_id' = :user_id
      AND at <= coalesce(CAST(:until AS timestamptz), 'infinity')
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM hidden) AS purged

-- name: count_users_answers
SELECT (SELECT count(*) FROM agentflow_idempotency k
        WHERE k.tenant_id = :tenant_id
          AND EXISTS (SELECT FROM string_to_table(k.body, '"user_id"') p
                      WHERE substring(left(p, 2048) FROM '^\s*:\s*("(?:[^"\\]|\\.)*")')
                            = CAST(to_json(CAST(:user_id AS text)) AS text)))
     + (SELECT count(*) FROM agentflow_audit_log WHERE tenant_id = :tenant_id AND details ->> 'user_id' = :user_id) AS found

-- name: count_runs_of_user
SELECT (SELECT count(*) FROM agentflow_runs WHERE tenant_id = :tenant_id AND user_id = :user_id)
     + (SELECT count(*) FROM agentflow_pgqueuer q
        WHERE position(convert_to(CAST(CAST(:tenant_id AS uuid) AS text), 'UTF8') IN q.payload) > 0
          AND NOT EXISTS (SELECT FROM agentflow_runs r
                          WHERE r.tenant_id = :tenant_id
                            AND r.run_id = CAST(CAST(convert_from(q.payload, 'UTF8') AS json) ->> 'run_id' AS uuid))) AS found
