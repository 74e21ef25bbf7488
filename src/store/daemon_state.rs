//! Table `daemon_state`: what the service remembers over a restart, such as which sources are paused.
//!
//! | column | meaning |
//! |---|---|
//! | `name` | the key, at most 100 characters |
//! | `value` | whatever the service makes of it |

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::daemon_state as table;
use super::value::text;
use super::{Store, StoreError};

const NAME_CHARS: usize = 100;
/// More would be no setting.
const VALUE_CHARS: usize = 100_000;

impl Store {
    /// What the service has noted under this name.
    pub async fn daemon_state(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = text(name, NAME_CHARS).into_owned();
        self.read(move |connection| {
            table::table
                .find(&name)
                .select(table::value)
                .first(connection)
                .optional()
        })
        .await
    }

    /// Notes this under this name, in place of what was there; with `None` forgets it. Returns when it is
    /// committed. Names have at most 100 characters, values 100,000: the rest is cut.
    pub async fn set_daemon_state(
        &self,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), StoreError> {
        let name = text(name, NAME_CHARS).into_owned();
        let value = value.map(|value| text(value, VALUE_CHARS).into_owned());
        let work = move |connection: &mut Connection| {
            diesel::delete(table::table.find(&name)).execute(connection)?;
            if let Some(value) = &value {
                diesel::insert_into(table::table)
                    .values((table::name.eq(&name), table::value.eq(value)))
                    .execute(connection)?;
            }
            Ok(())
        };
        self.writer.save(Box::new(work)).await
    }
}
