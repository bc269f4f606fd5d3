-- The words of messages, for searches over sessions: filled by the searches, so that storing a message costs no more.

-- Reduces English words to their stems, and leaves no word out as too common.
CREATE TEXT SEARCH DICTIONARY stem (TEMPLATE = snowball, LANGUAGE = english);

ALTER TABLE sessions ADD COLUMN indexed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN sessions.indexed IS 'the number of the last message whose words are in session_words';
CREATE INDEX sessions_to_index ON sessions ("user") WHERE total > indexed;

CREATE TABLE session_words (
    session text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (session, seq)
);
COMMENT ON COLUMN session_words.words IS 'the stems, and a mark of the user, so that the index finds the user''s own';
-- Without a list of pending rows, which each search would read: the searches are who fill the table.
CREATE INDEX session_words_by_word ON session_words USING gin (words) WITH (fastupdate = off);
