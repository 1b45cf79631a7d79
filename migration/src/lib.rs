//! Switchboard's tables, the same on SQLite and PostgreSQL.
