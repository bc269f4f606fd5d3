"""The tables of knowledge, as numbered files of SQL. Never change a released file: databases with it exist."""
