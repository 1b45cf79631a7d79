//! SQL text with `$n` parameters, which both databases read; many rows, and lists of any length.
//!
//! A statement is prepared once for each text it has. So a list is one parameter, and rows are filled up to a power of
//! two with rows of nulls, which whoever reads them leaves out.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

/// `text` with its parameters, for whatever database `db` is.
pub(super) fn statement(
    db: &impl ConnectionTrait,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), text, values)
}

/// `(values (…),(…)) as v` with its parameters, which are all a statement may have. The columns are called column1,
/// column2, … by both databases; column1 is null in the rows that only fill up.
pub(super) fn rows<const WIDTH: usize>(
    db: &impl ConnectionTrait,
    rows: impl IntoIterator<Item = [Value; WIDTH]>,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = rows.into_iter().flatten().collect();
    if let Some(last) = values.len().checked_sub(WIDTH) {
        let nulls: Vec<Value> = values[last..].iter().map(Value::as_null).collect();
        let count = (values.len() / WIDTH).next_power_of_two();
        values.extend(nulls.into_iter().cycle().take(count * WIDTH - values.len()));
    }
    // SQLite looks named parameters up one by one, which for thousands of them takes longer than all the rest.
    let named = db.get_database_backend() == DbBackend::Postgres;
    let mut text = String::with_capacity(16 + values.len() * 6);
    text.push_str("(values ");
    for n in 0..values.len() {
        text.push_str(if !n.is_multiple_of(WIDTH) {
            ","
        } else if n == 0 {
            "("
        } else {
            "),("
        });
        let _ = if named { write!(text, "${}", n + 1) } else { text.write_char('?') };
    }
    text.push_str(")) as v");
    (text, values)
}

/// `insert into head` these rows; `tail` may begin with a further condition on them, `and …`.
pub(super) fn insert<const WIDTH: usize>(
    db: &impl ConnectionTrait,
    head: &str,
    rows: impl IntoIterator<Item = [Value; WIDTH]>,
    tail: &str,
) -> Statement {
    let (rows, values) = self::rows(db, rows);
    let text = format!("insert into {head} select * from {rows} where column1 is not null {tail}");
    Statement::from_sql_and_values(db.get_database_backend(), text, values)
}

/// What follows a column that is to be among the items of a [`json`] list, parameter `$n`. `kind` is the column's type
/// on PostgreSQL.
pub(super) fn among(db: &impl ConnectionTrait, n: usize, kind: &str) -> String {
    match db.get_database_backend() {
        DbBackend::Postgres => format!("= any(array(select json_array_elements_text(${n}::json)::{kind}))"),
        _ => format!("in (select value from json_each(${n}))"),
    }
}

/// A list of any length as one parameter, for [`among`].
pub(super) fn json<T: serde::Serialize>(items: impl IntoIterator<Item = T>) -> Value {
    // Numbers and words can always be written.
    serde_json::to_string(&items.into_iter().collect::<Vec<_>>()).unwrap_or_default().into()
}

/// Whether the text (or the bytes) of `column` holds parameter `$n`.
pub(super) fn holds(db: &impl ConnectionTrait, column: &str, n: usize) -> String {
    match db.get_database_backend() {
        DbBackend::Postgres => format!("position(${n} in {column}) > 0"),
        _ => format!("instr({column}, ${n}) > 0"),
    }
}

/// `$first,$first+1,…` for an `in (…)` of `count` parameters: where there are few, or always as many.
pub(super) fn list(first: usize, count: usize) -> String {
    let mut text = String::new();
    for n in first..first + count {
        let comma = if n == first { "" } else { "," };
        let _ = write!(text, "{comma}${n}");
    }
    text
}
