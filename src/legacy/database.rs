//! The database: connected to, and watched.

use tokio_util::sync::CancellationToken;

use super::console::{Console, complain};
use super::lines;
use crate::store::{LegacyLogin, LegacyTables, Store, StoreOptions, StoreUrl, TablesHealth};

/// Connects, and makes the tables that are missing.
pub(super) async fn connect(
    login: &LegacyLogin,
    console: &Console,
    stop: &CancellationToken,
) -> Option<LegacyTables> {
    let opened = tokio::select! {
        opened = LegacyTables::open(login) => opened,
        () = stop.cancelled() => return None,
    };
    match opened {
        Ok((tables, made)) => {
            let database = &login.database;
            let mut said = vec![format!("Connected to MySQL database: {database}")];
            for (table, wrong) in made {
                match wrong {
                    Some(why) => complain(format_args!("{}", lines::no_table(table, &why))),
                    None if lines::is_known_table(table) => said.push(lines::table(table)),
                    None => {}
                }
            }
            console.lines(said).await;
            Some(tables)
        }
        Err(error) => {
            complain(format_args!("MySQL connection failed: {error}"));
            console.line(lines::CONNECTION_FAILED).await;
            None
        }
    }
}

/// Says once when the database goes, and once when it is back.
pub(super) async fn tell_outages(mut health: tokio::sync::watch::Receiver<TablesHealth>) {
    let mut is_away = false;
    while health.changed().await.is_ok() {
        let now = health.borrow_and_update().clone();
        match now {
            TablesHealth::Away(error) if !is_away => {
                is_away = true;
                complain(format_args!(
                    "Error storing torrent: {error}; what is to be stored waits until the \
                     database is back"
                ));
            }
            TablesHealth::Connected if is_away => {
                is_away = false;
                complain(format_args!(
                    "MySQL is back: what has waited is being stored"
                ));
            }
            _ => {}
        }
    }
}

/// Our own tables: without them nothing is remembered of peers, and the rest goes on.
pub(super) async fn open_store(url: StoreUrl) -> Option<Store> {
    let options = StoreOptions {
        beside_others: true,
        ..StoreOptions::default()
    };
    let opened = tokio::task::spawn_blocking(move || Store::open_with(&url, &options)).await;
    match opened {
        Ok(Ok(store)) => Some(store),
        Ok(Err(error)) => {
            complain(format_args!(
                "Raw metadata and what is known of peers are not kept: {error}"
            ));
            None
        }
        Err(_) => None,
    }
}
