-- Tenants and their API keys. A line `--;` ends a statement.

CREATE TABLE agentflow_tenants (
    tenant_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Lower case, no `_ % :`: a slug is part of stored thread ids, where those would mean something.
    slug          text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    state         text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    placement     int NOT NULL CHECK (placement >= 1),
    epoch         bigint NOT NULL DEFAULT 1,
    -- null: every agent this deployment hosts
    agents        text[],
    default_agent text NOT NULL DEFAULT 'memory',
    created_at    timestamptz NOT NULL DEFAULT now()
)
--;

-- Keys are kept as a keyed hash: neither a copy of this table nor its backup lets anybody in.
CREATE TABLE agentflow_api_keys (
    key_id     text COLLATE "C" PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES agentflow_tenants,
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    name       text NOT NULL,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
)
--;
CREATE INDEX agentflow_api_keys_of_tenant ON agentflow_api_keys (tenant_id)
--;
