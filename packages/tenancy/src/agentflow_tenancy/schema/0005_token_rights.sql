-- What ends tokens, and what an issuer's may do. A line `--;` ends a statement.

-- Part of every token. Suspending a tenant raises it, which ends them for good; a move raises the epoch and ends none.
ALTER TABLE agentflow_tenants ADD COLUMN token_epoch bigint NOT NULL DEFAULT 1
--;
-- `scope_claim`: where a token says its scopes; null gives it all of the registration's. `limits`: of the key that
-- registered it.
ALTER TABLE agentflow_issuers
    ADD COLUMN scope_claim text,
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}'
--;
