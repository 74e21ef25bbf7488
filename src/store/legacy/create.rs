//! Makes the old tables where they are missing, as the old crawler did. What is there is never altered.

use super::session::Session;
use super::table::{ALL, CLAIMS, FILES, LOG, PEERS};

/// The foreign key of the peers, which a table of torrents that others have made may not allow.
const FOREIGN_KEY: &str = "  CONSTRAINT `discovered_peers_ibfk_1` FOREIGN KEY (`torrent_hash`) \
     REFERENCES `discovered_torrents` (`info_hash`) ON DELETE CASCADE\n";

/// Makes what is missing; each table, with what went wrong.
pub(super) fn missing(session: &mut Session) -> Vec<(&'static str, Option<String>)> {
    ALL.into_iter()
        .map(|table| (table, make(session, table).err()))
        .collect()
}

fn make(session: &mut Session, table: &str) -> Result<(), String> {
    // Without the right to make tables the server refuses the statement also where the table is there.
    if session.tables.get(table).is_some() {
        return Ok(());
    }
    let sql = definition(table);
    let Err(error) = session.run(sql) else {
        return Ok(());
    };
    let keyless = sql.replace(&format!(",\n{FOREIGN_KEY}"), "\n");
    if keyless != sql
        && error.to_string().to_lowercase().contains("foreign key")
        && session.run(&keyless).is_ok()
    {
        return Ok(());
    }
    Err(session.error(&error).to_string())
}

fn definition(table: &str) -> &'static str {
    match table {
        PEERS => include_str!("sql/discovered_peers.sql"),
        FILES => include_str!("sql/torrent_files.sql"),
        LOG => include_str!("sql/log.sql"),
        CLAIMS => include_str!("sql/discovered_torrents_claim.sql"),
        _ => include_str!("sql/discovered_torrents.sql"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreign_key_stands_in_the_definition_as_it_is_taken_out() {
        assert!(definition(PEERS).contains(&format!(",\n{FOREIGN_KEY})")));
    }
}
