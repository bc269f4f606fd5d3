-- Documents, their chunks, words and vectors. The extension is pgvector, https://github.com/pgvector/pgvector.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE TABLE commits (
    writer text PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE commits IS 'the last transaction of each connection: shows whether one that nobody answered is stored';

-- Reduces English words to their stems, and leaves no word out as too common.
CREATE TEXT SEARCH DICTIONARY stem (TEMPLATE = snowball, LANGUAGE = english);

CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    "user" text COLLATE "C" NOT NULL,
    title text NOT NULL,
    media_type text NOT NULL,
    metadata text NOT NULL,
    facets jsonb NOT NULL,
    digest text NOT NULL,
    chunks bigint NOT NULL,
    characters bigint NOT NULL,
    added_at double precision NOT NULL
);
COMMENT ON COLUMN documents.facets IS 'the metadata for filters: jsonb does not keep the order of keys';
COMMENT ON COLUMN documents."user" IS 'empty for a document for everyone';
-- Source and user together may be longer than a row of an index.
CREATE UNIQUE INDEX documents_by_name ON documents (md5(source || chr(10) || "user"));
CREATE INDEX documents_by_source ON documents (left(source, 500));

CREATE TABLE chunks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document bigint NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    number bigint NOT NULL,
    key bytea NOT NULL,
    start bigint NOT NULL,
    stop bigint NOT NULL,
    headings text NOT NULL,
    place text NOT NULL,
    skip bigint NOT NULL,
    searched text NOT NULL,
    words tsvector NOT NULL
);
COMMENT ON COLUMN chunks.key IS 'the hash of the searched text: equal texts share a vector';
CREATE INDEX chunks_by_document ON chunks (document);
CREATE INDEX chunks_by_key ON chunks (key);
CREATE INDEX chunks_by_words ON chunks USING gin (words);

CREATE TABLE spaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    dimensions bigint NOT NULL
);

CREATE TABLE vectors (
    space bigint NOT NULL REFERENCES spaces (id),
    key bytea NOT NULL,
    vector public.vector NOT NULL,
    PRIMARY KEY (space, key)
);
CREATE INDEX vectors_by_key ON vectors (key);
