//! SQL text with `$n` parameters, which both databases read; and multi-row inserts.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, Statement, Value};

/// `text` with its parameters, for whatever database `db` is.
pub(super) fn statement(
    db: &impl ConnectionTrait,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), text, values)
}

/// `head values ($1,…,$width),(…) tail`, one group per row.
pub(super) fn insert<const WIDTH: usize>(
    db: &impl ConnectionTrait,
    head: &str,
    rows: impl IntoIterator<Item = [Value; WIDTH]>,
    tail: &str,
) -> Statement {
    let mut text = format!("insert into {head} values ");
    let mut values = Vec::new();
    for row in rows {
        if !values.is_empty() {
            text.push(',');
        }
        text.push('(');
        for column in 0..WIDTH {
            let comma = if column == 0 { "" } else { "," };
            let _ = write!(text, "{comma}${}", values.len() + column + 1);
        }
        text.push(')');
        values.extend(row);
    }
    text.push(' ');
    text.push_str(tail);
    Statement::from_sql_and_values(db.get_database_backend(), text, values)
}

/// `$first,$first+1,…` for an `in (…)` of `count` parameters.
pub(super) fn list(first: usize, count: usize) -> String {
    let mut text = String::new();
    for n in first..first + count {
        let comma = if n == first { "" } else { "," };
        let _ = write!(text, "{comma}${n}");
    }
    text
}
