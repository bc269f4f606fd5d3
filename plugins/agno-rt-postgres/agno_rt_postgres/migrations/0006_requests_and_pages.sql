-- The request in which a run began, and lists of runs by time, whose pages cost the same at any depth.
--
-- A step of a run under way changes the run's time. The indexes by time are without these runs, which are few, and which
-- runs_under_way has: a step then adds to fewer indexes. `changed` has no use any more. It stays for processes of the
-- version before, which may still be at work.

ALTER TABLE runs ADD COLUMN request text;
COMMENT ON COLUMN runs.request IS 'the id of the request in which the run began';
COMMENT ON COLUMN runs.changed IS 'numbers the changes of all runs, for older versions';
CREATE INDEX runs_by_request ON runs (request) WHERE request IS NOT NULL;

DROP INDEX runs_by_change;
DROP INDEX runs_by_status;
DROP INDEX runs_by_session;
DROP INDEX runs_by_user;
DROP INDEX runs_by_agent;
CREATE INDEX runs_under_way ON runs (session, agent) WHERE status = 'running';
CREATE INDEX runs_by_update ON runs (updated_at, id COLLATE "C") WHERE status <> 'running';
CREATE INDEX runs_by_status ON runs (status, updated_at, id COLLATE "C") WHERE status <> 'running';
CREATE INDEX runs_by_session ON runs (session, updated_at, id COLLATE "C")
    WHERE status <> 'running' AND session IS NOT NULL;
CREATE INDEX runs_by_user ON runs ("user", updated_at, id COLLATE "C")
    WHERE status <> 'running' AND "user" IS NOT NULL;
-- PostgreSQL does not read the runs of nobody in the order of an index that begins with the user.
CREATE INDEX runs_without_user ON runs (updated_at, id COLLATE "C") WHERE status <> 'running' AND "user" IS NULL;
