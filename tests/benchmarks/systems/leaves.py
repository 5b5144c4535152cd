"""The leaves of the partitioned tables, each with the name of what it is a leaf of."""

LEAVES = """
SELECT relname AS leaf, regexp_replace(relname, '^agentflow_|_p[0-9]+$', '', 'g') AS name FROM pg_class
WHERE relkind = 'r' AND relispartition AND relname LIKE 'agentflow\\_%' ORDER BY 1
"""
