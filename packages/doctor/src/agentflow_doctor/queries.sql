-- What the doctor asks of a database. Everything is read, from the catalogue wherever that knows.

-- name: versions
-- Of the migrations and of the library's tables; null without them.
SELECT (SELECT array_agg(version_num) FROM alembic_version) AS migrations, (SELECT max(version) FROM agentflow_schema) AS library

-- name: has_schema
SELECT to_regclass('alembic_version') IS NOT NULL AND to_regclass('agentflow_schema') IS NOT NULL AS found

-- name: open_tables
-- Tables of tenants' content (rows of a thread or a run) that row level security does not bind.
SELECT c.relname AS name
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND starts_with(c.relname, 'agentflow_') AND pg_table_is_visible(c.oid)
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = c.oid AND a.attname IN ('thread_no', 'thread_id', 'run_id') AND NOT a.attisdropped)
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
ORDER BY c.relname

-- name: leaf_rights
-- Who but its owner has a right on a leaf: it goes round the policies of the parent.
SELECT DISTINCT c.relname AS name, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END AS grantee
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND starts_with(p.relname, 'agentflow_') AND pg_table_is_visible(p.oid)
CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE a.grantee <> c.relowner
ORDER BY 1, 2

-- name: partition_faults
-- DEFAULT partitions, leaves half detached, and placements that lack a leaf of some table.
SELECT format('%s has a DEFAULT partition', c.relname) AS fault
FROM pg_catalog.pg_partitioned_table t JOIN pg_catalog.pg_class c ON c.oid = t.partrelid
WHERE t.partdefid <> 0 AND starts_with(c.relname, 'agentflow_') AND pg_table_is_visible(c.oid)
UNION ALL
SELECT format('%s is half detached', c.relname)
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhdetachpending AND starts_with(c.relname, 'agentflow_')
UNION ALL
SELECT format('placement %s has leaves of %s tables only', l.placement, count(*))
FROM (
    SELECT substring(c.relname FROM '[0-9]+$') AS placement
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r' AND NOT i.inhdetachpending
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND starts_with(p.relname, 'agentflow_') AND pg_table_is_visible(p.oid)
    JOIN pg_catalog.pg_partitioned_table t ON t.partrelid = p.oid AND t.partstrat = 'l'  -- by placement, not by day
) l
GROUP BY l.placement
HAVING count(*) < (SELECT count(*) FROM pg_catalog.pg_partitioned_table t JOIN pg_catalog.pg_class c ON c.oid = t.partrelid
                   WHERE t.partstrat = 'l' AND starts_with(c.relname, 'agentflow_') AND pg_table_is_visible(c.oid))
UNION ALL
SELECT format('tenant %s lives in placement %s, which has no leaf', n.slug, n.placement)
FROM agentflow_tenants n
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c
                  WHERE c.relname = 'agentflow_threads_p' || n.placement AND c.relispartition)

-- name: trigger_faults
-- Where deleting a thread would leave rows below it: the trigger is off, or was never made.
SELECT c.relname AS name
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'agentflow_delete_children' AND t.tgenabled IN ('O', 'A')
WHERE t.oid IS NULL AND pg_table_is_visible(c.oid)
  AND (c.relname = 'agentflow_threads'
       OR c.oid IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits i
                    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relname = 'agentflow_threads')
          AND c.relkind = 'r')
ORDER BY c.relname

-- name: invalid_indexes
SELECT c.relname AS name
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class o ON o.oid = i.indrelid AND starts_with(o.relname, 'agentflow_')
WHERE NOT i.indisvalid AND c.relkind = 'i'
ORDER BY c.relname

-- name: functions_without_plans
-- Functions that look below threads, and would plan for every leaf at once.
SELECT p.proname AS name
FROM pg_catalog.pg_proc p
WHERE p.proname IN ('agentflow_delete_children', 'agentflow_delete_runs') AND pg_function_is_visible(p.oid)
  AND NOT 'plan_cache_mode=force_custom_plan' = ANY (coalesce(p.proconfig, '{}'))
ORDER BY p.proname

-- name: plan_cache_mode
-- As a service's own connection has it: a pooler in between may have dropped it.
SELECT current_setting('plan_cache_mode') AS mode

-- name: connections
SELECT CAST(current_setting('max_connections') AS int) AS most,
       CAST(current_setting('superuser_reserved_connections') AS int)
       + CAST(current_setting('reserved_connections') AS int) AS reserved,
       (SELECT CAST(sum(numbackends) AS int) FROM pg_catalog.pg_stat_database) AS open

-- name: clock
SELECT extract(epoch FROM clock_timestamp()) AS now

-- name: archiving
SELECT current_setting('archive_mode') AS mode, current_setting('wal_level') AS wal_level, archived_count, failed_count,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS fails, last_failed_wal
FROM pg_catalog.pg_stat_archiver

-- name: restore_pending
-- Set by whoever restored a backup, until the tombstones were applied.
SELECT current_setting('agentflow.restore', true) AS restore_id
WHERE coalesce(current_setting('agentflow.restore', true), '') <> ''
  AND NOT EXISTS (SELECT FROM agentflow_restores WHERE restore_id = current_setting('agentflow.restore', true))

-- name: limit_time
SELECT set_config('statement_timeout', :most, true), set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: placements
SELECT CAST(substring(c.relname FROM '[0-9]+$') AS int) AS placement
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relname = 'agentflow_threads' AND pg_table_is_visible(p.oid)
ORDER BY placement

-- name: orphans_of_placement
-- Rows of one placement whose thread is gone, by table. Reads the placement once.
SELECT (SELECT count(*) FROM agentflow_checkpoints c WHERE c.placement = :placement AND NOT EXISTS (
            SELECT FROM agentflow_threads t
            WHERE t.placement = :placement AND t.tenant_id = c.tenant_id AND t.thread_no = abs(c.thread_no))) AS checkpoints,
       (SELECT count(*) FROM agentflow_messages m WHERE m.placement = :placement AND NOT EXISTS (
            SELECT FROM agentflow_threads t
            WHERE t.placement = :placement AND t.tenant_id = m.tenant_id AND t.thread_no = m.thread_no)) AS messages,
       (SELECT count(*) FROM agentflow_tool_calls l WHERE l.placement = :placement AND NOT EXISTS (
            SELECT FROM agentflow_threads t
            WHERE t.placement = :placement AND t.tenant_id = l.tenant_id AND t.thread_no = l.thread_no)) AS tool_calls,
       (SELECT count(*) FROM agentflow_writes w WHERE w.placement = :placement AND NOT EXISTS (
            SELECT FROM agentflow_threads t
            WHERE t.placement = :placement AND t.tenant_id = w.tenant_id AND t.thread_no = w.thread_no)) AS writes

-- name: orphans_of_runs
SELECT count(*) AS run_chunks FROM agentflow_run_chunks c
WHERE NOT EXISTS (SELECT FROM agentflow_runs r WHERE r.tenant_id = c.tenant_id AND r.run_id = c.run_id)
