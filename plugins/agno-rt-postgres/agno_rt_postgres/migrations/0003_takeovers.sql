-- The number of times in a row that a run was taken over from an owner that had not let go.

ALTER TABLE runs ADD COLUMN takeovers bigint NOT NULL DEFAULT 0;
