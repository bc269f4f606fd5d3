-- Lists of one user's sessions, and of sessions without a user, whose pages cost the same at any depth.

DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions ("user", updated_at, id);
-- PostgreSQL does not read the sessions of nobody in the order of an index that begins with the user.
CREATE INDEX sessions_without_user ON sessions (updated_at, id) WHERE "user" IS NULL;
