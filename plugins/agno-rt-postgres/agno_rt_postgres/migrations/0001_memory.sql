-- Sessions, facts, cached answers, runs, approvals and signals.
--
-- Names (ids, users, agents) are text. Texts of people and models are bytea, in UTF-8, because PostgreSQL's text
-- does not hold the character U+0000.
--
-- Messages, journals and events have no foreign key, whose check would cost more than the row: whoever writes them has
-- locked their session or run, and whoever deletes a session or run deletes them afterwards.

CREATE TABLE commits (
    writer text PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE commits IS 'the last transaction of each connection: shows whether one that nobody answered is stored';

CREATE TABLE sessions (
    id text COLLATE "C" PRIMARY KEY,
    "user" text,
    version bigint NOT NULL,
    total bigint NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    agent text NOT NULL,
    words text NOT NULL,
    title text NOT NULL,
    search text NOT NULL,
    data bytea NOT NULL
);
COMMENT ON COLUMN sessions.words IS 'the first words of the user';
COMMENT ON COLUMN sessions.title IS 'the title that was given, or an empty text';
COMMENT ON COLUMN sessions.search IS 'the title that is shown, for searches in any case';
CREATE INDEX sessions_by_update ON sessions (updated_at, id);
CREATE INDEX sessions_by_user ON sessions ("user", updated_at);

CREATE TABLE messages (
    session text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (session, seq)
);

CREATE TABLE fact_users (
    "user" text PRIMARY KEY,
    steps bigint NOT NULL
);

CREATE TABLE facts (
    "user" text NOT NULL REFERENCES fact_users ("user") ON DELETE CASCADE,
    id text NOT NULL,
    step bigint NOT NULL,
    sameness bytea NOT NULL,
    text text NOT NULL,
    topics bytea NOT NULL,
    session text,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    PRIMARY KEY ("user", id)
);
COMMENT ON COLUMN facts.sameness IS 'a digest of the text that equal facts share';
CREATE UNIQUE INDEX facts_by_sameness ON facts ("user", sameness);

CREATE SEQUENCE uses;
CREATE TABLE cache (
    entry bytea PRIMARY KEY,
    value bytea NOT NULL,
    expires_at double precision,
    used bigint NOT NULL
);
CREATE INDEX cache_by_use ON cache (used);
CREATE INDEX cache_by_end ON cache (expires_at) WHERE expires_at IS NOT NULL;

CREATE SEQUENCE changes;
CREATE TABLE runs (
    id text PRIMARY KEY,
    agent text NOT NULL,
    status text NOT NULL,
    session text,
    "user" text,
    parent text,
    origin text,
    input bytea NOT NULL,
    content bytea NOT NULL,
    error bytea,
    code text,
    owner text,
    cancel_requested boolean NOT NULL,
    entries bigint NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    wakes_at double precision,
    continues text,
    continued_by text,
    changed bigint NOT NULL DEFAULT nextval('changes')
);
COMMENT ON COLUMN runs.changed IS 'numbers the changes of all runs, so that their order does not depend on a clock';
CREATE INDEX runs_by_change ON runs (changed);
CREATE INDEX runs_by_status ON runs (status, changed);
CREATE INDEX runs_by_session ON runs (session, changed) WHERE session IS NOT NULL;
CREATE INDEX runs_by_user ON runs ("user", changed);
CREATE INDEX runs_by_wake ON runs (wakes_at) WHERE wakes_at IS NOT NULL;
CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX runs_by_next ON runs (continued_by) WHERE continued_by IS NOT NULL;

CREATE TABLE entries (
    run text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE approvals (
    id text PRIMARY KEY,
    step bigint GENERATED ALWAYS AS IDENTITY,
    run text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    status text NOT NULL,
    expires_at double precision,
    body bytea NOT NULL
);
CREATE INDEX approvals_by_run ON approvals (run, step);
CREATE INDEX approvals_by_status ON approvals (status, step);

CREATE TABLE signals (
    run text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    name text NOT NULL,
    value bytea NOT NULL,
    sent_at double precision NOT NULL,
    PRIMARY KEY (run, seq)
);
