-- Leases of the processes that share the database, and logs of the events of runs.

CREATE TABLE leases (
    owner text PRIMARY KEY,
    expires_at double precision NOT NULL
);
COMMENT ON COLUMN leases.expires_at IS 'seconds since the epoch, by the clock of the server';
CREATE INDEX runs_by_agent ON runs (agent, changed) WHERE status = 'running';

CREATE TABLE events (
    run text NOT NULL,
    first bigint NOT NULL,
    count bigint NOT NULL,
    owner text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, first)
);
COMMENT ON TABLE events IS 'a row has the events of one call, the numbers first to first + count - 1, as MessagePack';
