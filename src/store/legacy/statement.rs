//! Statements whose columns are known only at run time. Values always go beside the text, never in it.

use diesel::mysql::Mysql;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{BigInt, Nullable, Text};

/// What goes into a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Null,
    /// The server's time.
    Now,
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn optional(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }
}

/// A statement, and the values for its question marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds text of ours.
    pub(super) fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value.
    pub(super) fn value(mut self, value: Value) -> Self {
        if value == Value::Now {
            return self.sql("CURRENT_TIMESTAMP");
        }
        self.values.push(value);
        self.sql("?")
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.value(Value::text(text))
    }

    pub(super) fn number(self, number: i64) -> Self {
        self.value(Value::Number(number))
    }

    /// Adds values in parentheses, with commas between them. There must be one at least.
    pub(super) fn list(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        for (index, value) in values.into_iter().enumerate() {
            self = self.sql(if index == 0 { "(" } else { ", " }).value(value);
        }
        self.sql(")")
    }

    pub(super) fn into_query(
        self,
    ) -> BoxedSqlQuery<'static, Mysql, diesel::query_builder::SqlQuery> {
        let query = diesel::sql_query(self.sql).into_boxed::<Mysql>();
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind::<Text, _>(text),
                Value::Number(number) => query.bind::<BigInt, _>(number),
                Value::Null | Value::Now => query.bind::<Nullable<Text>, _>(None::<String>),
            })
    }
}
