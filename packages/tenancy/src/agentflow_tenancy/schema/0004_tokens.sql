-- What tokens are signed and checked with. A line `--;` ends a statement.

-- Keys of the service's own tokens. `sealed` is the private key, encrypted under a key made of the server's pepper. The
-- one that is not retired signs; retired ones verify until the last token they signed has ended.
CREATE TABLE agentflow_signing_keys (
    kid        text COLLATE "C" PRIMARY KEY,
    public_jwk jsonb NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
)
--;
CREATE UNIQUE INDEX agentflow_signing_keys_current ON agentflow_signing_keys ((true)) WHERE retired_at IS NULL
--;

-- Issuers whose tokens a tenant accepts for its own threads. The pair of issuer and audience names the tenant.
CREATE TABLE agentflow_issuers (
    issuer_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id  uuid NOT NULL REFERENCES agentflow_tenants,
    issuer     text NOT NULL,
    audience   text NOT NULL,
    jwks_uri   text,
    jwks       jsonb,
    algorithms text[] NOT NULL,
    scopes     text[] NOT NULL,
    user_claim text NOT NULL DEFAULT 'sub',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((jwks_uri IS NULL) <> (jwks IS NULL)),
    UNIQUE (issuer, audience)
)
--;
CREATE INDEX agentflow_issuers_of_tenant ON agentflow_issuers (tenant_id)
--;
GRANT SELECT, INSERT, UPDATE ON agentflow_signing_keys TO agentflow_app, agentflow_operator
--;
GRANT SELECT, INSERT, DELETE ON agentflow_issuers TO agentflow_app, agentflow_operator
--;
