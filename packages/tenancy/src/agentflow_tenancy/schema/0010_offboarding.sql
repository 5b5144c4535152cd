-- Tenants and users that leave, the receipts of what was deleted, and what must never come back. A line `--;` ends a statement.

-- `offboarding`: nobody is let in any more; until purging begins it can become active again.
ALTER TABLE agentflow_tenants DROP CONSTRAINT agentflow_tenants_state_check,
    ADD CONSTRAINT agentflow_tenants_state_check CHECK (state IN ('active', 'suspended', 'offboarding'))
--;

-- A tenant that leaves, or one user of it who is forgotten. It outlives its tenant: no foreign key, and of names only what
-- digests give; `slug` and `user_id` are there while they are worked with. `step` is where purging goes on after a crash. A
-- dry run is `measuring`, then `measured`, and changes nothing.
CREATE TABLE agentflow_offboardings (
    offboarding_id uuid PRIMARY KEY,
    tenant_id      uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('tenant', 'user')),
    slug           text,
    slug_digest    bytea NOT NULL,
    user_id        text,
    user_digest    bytea,
    state          text NOT NULL CHECK (state IN ('suspended', 'exporting', 'grace', 'purging', 'verifying', 'purged',
                                                  'cancelled', 'measuring', 'measured')),
    step           text NOT NULL DEFAULT 'fence' CHECK (step IN ('fence', 'leaves', 'threads', 'tables', 'elsewhere', 'end')),
    state_before   text,
    placements     int[] NOT NULL DEFAULT '{}',
    with_export    boolean NOT NULL DEFAULT false,
    grace_s        bigint NOT NULL DEFAULT 0 CHECK (grace_s >= 0),
    grace_until    timestamptz,
    threads_total  bigint,
    threads_purged bigint NOT NULL DEFAULT 0,
    counts         jsonb NOT NULL DEFAULT '{}',
    attempts       int NOT NULL DEFAULT 0,
    error          text,
    requested_by   text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    fenced_at      timestamptz,
    finished_at    timestamptz,
    holder         uuid,
    held_until     timestamptz,
    CHECK ((kind = 'user') = (user_digest IS NOT NULL)),
    CHECK ((state IN ('purged', 'cancelled', 'measured')) = (finished_at IS NOT NULL)),
    CHECK (finished_at IS NULL OR (slug IS NULL AND user_id IS NULL)),
    CHECK (finished_at IS NOT NULL OR slug IS NOT NULL),
    CHECK (state <> 'grace' OR grace_until IS NOT NULL)
)
--;
-- One at a time of a tenant, and of each of its users; and one dry run beside it.
CREATE UNIQUE INDEX agentflow_offboardings_open
    ON agentflow_offboardings (tenant_id, coalesce(user_digest, ''), (state = 'measuring')) WHERE finished_at IS NULL
--;
CREATE INDEX agentflow_offboardings_of_tenant ON agentflow_offboardings (tenant_id, created_at)
--;

-- Signed, and each with the digest of the one before it, from 1 on without a gap: none can be left out or changed unseen.
-- `body` is the canonical text that `jws` signs; it has no personal data.
CREATE TABLE agentflow_receipts (
    receipt_id uuid PRIMARY KEY,
    sequence   bigint NOT NULL UNIQUE CHECK (sequence >= 1),
    issued_at  timestamptz NOT NULL,
    tenant_id  uuid NOT NULL,
    body       text NOT NULL,
    jws        text NOT NULL,
    key_id     text NOT NULL,
    previous   bytea,
    CHECK ((sequence = 1) = (previous IS NULL))
)
--;

-- What must never come back: replayed after a backup was restored. With a digest it is one user of the tenant, as far as
-- they were there by then.
CREATE TABLE agentflow_tombstones (
    receipt_id  uuid PRIMARY KEY REFERENCES agentflow_receipts,
    tenant_id   uuid NOT NULL,
    user_digest bytea,
    purged_at   timestamptz NOT NULL
)
--;
CREATE INDEX agentflow_tombstones_of_tenant ON agentflow_tombstones (tenant_id)
--;

-- Keyed hashes of the keys of tenants that are gone, and of nothing else: who still has the key is told so, and nobody else
-- learns that there was one.
CREATE TABLE agentflow_ended_keys (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    receipt_id uuid NOT NULL
)
--;
GRANT SELECT, INSERT, UPDATE ON agentflow_offboardings TO agentflow_app, agentflow_operator
--;
GRANT SELECT ON agentflow_receipts, agentflow_tombstones, agentflow_ended_keys TO agentflow_app
--;
GRANT SELECT, INSERT ON agentflow_receipts, agentflow_tombstones, agentflow_ended_keys TO agentflow_operator
--;
