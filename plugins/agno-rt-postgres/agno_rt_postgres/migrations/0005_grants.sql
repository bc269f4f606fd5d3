-- Standing approvals: decisions of people on later calls of a tool.

CREATE TABLE grants (
    id text PRIMARY KEY,
    tool text NOT NULL,
    "user" text,
    created_at double precision NOT NULL,
    expires_at double precision,
    body bytea NOT NULL
);
CREATE INDEX grants_by_tool ON grants (tool, "user");
