//! Everything, or some tables, as JSON lines; and the torrents as what `.torrent` files are made of.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::{Keyed, Lines, PAGE, Row, Table, TorrentRow, with_row};
use crate::store::connection::{Connection, Target};
use crate::store::database::{DataError, Database, Watch};
use crate::store::dictionary;
use crate::store::torrent_metadata::stored_identity;
use crate::torrent::{Info, Infohash};

/// How many rows were written, by table.
pub type Exported = BTreeMap<Table, u64>;

/// A torrent that was resolved.
#[derive(Clone, Debug)]
pub struct TorrentExport {
    /// Its hash, or both.
    pub infohash: Infohash,
    /// Its dictionary, read; or why it can't be used.
    pub info: Result<Info, String>,
    /// Its dictionary, byte for byte.
    pub raw: Vec<u8>,
    /// Its trackers.
    pub trackers: Vec<String>,
}

impl Database {
    /// Writes these tables to `to`, which `name` names in errors, as they all are at one moment. Gives
    /// back `to`.
    pub fn export<W: Write>(
        &mut self,
        tables: &[Table],
        to: W,
        (name, gzip): (&Path, bool),
        now_ms: i64,
        watch: &mut Watch<'_>,
    ) -> Result<(Exported, W), DataError> {
        let failed = |error| DataError::write(name, error);
        let mut lines = Lines::start(to, gzip, now_ms).map_err(failed)?;
        let exported = self.snapshot(|connection, target| {
            let mut exported = Exported::new();
            for &table in Table::ALL.iter().filter(|table| tables.contains(table)) {
                let mut rows = 0;
                let written = with_row!(table, Rows => {
                    each_page::<Rows>(connection, target, |page| {
                        for row in page {
                            lines.row(&Row::from(row)).map_err(failed)?;
                            rows += 1;
                        }
                        watch.step(table.as_str(), rows)
                    })
                });
                written?;
                exported.insert(table, rows);
            }
            Ok(exported)
        })?;
        let to = lines.finish().map_err(failed)?;
        Ok((exported, to))
    }

    /// Gives every torrent whose dictionary is there to `each`, as they all are at one moment.
    pub fn export_torrents(
        &mut self,
        mut each: impl FnMut(TorrentExport) -> Result<(), DataError>,
        watch: &mut Watch<'_>,
    ) -> Result<(), DataError> {
        self.snapshot(|connection, target| {
            let mut count = 0;
            each_page::<TorrentRow>(connection, target, |page| {
                for row in page.into_iter().filter(|row| !row.info.is_empty()) {
                    let infohash = stored_identity(&row.infohash, row.infohash_v2.as_deref())
                        .map_err(|error| target.error(&error))?;
                    each(TorrentExport {
                        infohash,
                        info: dictionary::checked(&infohash, &row.info),
                        trackers: serde_json::from_str(&row.trackers).unwrap_or_default(),
                        raw: row.info,
                    })?;
                    count += 1;
                }
                watch.step("torrents", count)
            })
        })
    }

    /// Runs `work` in a transaction that sees the database as it is when it begins.
    fn snapshot<T>(
        &mut self,
        work: impl FnOnce(&mut Connection, &Target) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        use diesel::connection::TransactionManager as _;
        type Transactions = <Connection as diesel::Connection>::TransactionManager;
        let (connection, target) = (&mut self.connection, &self.target);
        let error = |error| target.error(&error);
        crate::store::upkeep::begin_snapshot(connection).map_err(error)?;
        let done = work(connection, target);
        // Nothing was written, so this ends it as well as anything.
        Transactions::rollback_transaction(connection).map_err(error)?;
        done
    }
}

/// Gives all rows to `work`, a page at a time.
fn each_page<R: Keyed + Clone>(
    connection: &mut Connection,
    target: &Target,
    mut work: impl FnMut(Vec<R>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut after: Option<R> = None;
    loop {
        let page =
            R::page(connection, after.as_ref(), PAGE).map_err(|error| target.error(&error))?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        work(page)?;
    }
}
