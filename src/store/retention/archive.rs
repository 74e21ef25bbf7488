//! Files of rows that are about to be deleted: an export each, which `db import` takes back.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use diesel::prelude::*;
use tempfile::NamedTempFile;

use crate::store::connection::Connection;
use crate::store::database::DataError;
use crate::store::exchange::{FileRow, Lines, PAGE, Row, Table, each_row};
use crate::store::schema::torrent_file;

/// A file that is being written.
pub(super) struct Archive {
    lines: Lines<NamedTempFile>,
    directory: PathBuf,
    name: String,
}

impl Archive {
    /// Begins a file in this directory, which is made where it is missing.
    pub(super) fn create(directory: &Path, table: Table, now_ms: i64) -> Result<Self, DataError> {
        let failed = |error| DataError::write(directory, error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file = tempfile::Builder::new()
            .prefix(".metafetch-")
            .tempfile_in(directory)
            .map_err(failed)?;
        let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
        Ok(Self {
            lines: Lines::start(file, true, now_ms).map_err(failed)?,
            directory: directory.to_owned(),
            name: format!("{}-{}", table.as_str(), time.strftime("%Y%m%dT%H%M%SZ")),
        })
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: &Row) -> Result<(), DataError> {
        self.lines
            .row(row)
            .map_err(|error| DataError::write(&self.directory, error))
    }

    /// Brings the file to the disk under its name. No older file is replaced.
    pub(super) fn keep(self) -> Result<PathBuf, DataError> {
        let failed = |error| DataError::write(&self.directory, error);
        let mut file = self.lines.finish().map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        for number in 1.. {
            let distinction = match number {
                1 => String::new(),
                _ => format!("-{number}"),
            };
            let path = self
                .directory
                .join(format!("{}{distinction}.jsonl.gz", self.name));
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    // The name, too, is to be on the disk.
                    let directory = File::open(&self.directory).map_err(failed)?;
                    directory.sync_all().map_err(failed)?;
                    return Ok(path);
                }
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => file = error.file,
                Err(error) => return Err(failed(error.error)),
            }
        }
        Err(failed(ErrorKind::AlreadyExists.into()))
    }
}

/// The files of a torrent without a dictionary; those of the others stand in their dictionaries.
pub(super) fn files(connection: &mut Connection, row: &Row) -> QueryResult<Vec<FileRow>> {
    let Row::TorrentMetadata(torrent) = row else {
        return Ok(Vec::new());
    };
    if !torrent.info.is_empty() {
        return Ok(Vec::new());
    }
    let files: Vec<(i64, String, i64)> = torrent_file::table
        .filter(torrent_file::torrent_id.eq(torrent.id))
        .order(torrent_file::position)
        .select((
            torrent_file::position,
            torrent_file::path,
            torrent_file::length,
        ))
        .load(connection)?;
    let files = files.into_iter().map(|(position, path, length)| FileRow {
        torrent_id: torrent.id,
        infohash: torrent.infohash.clone(),
        position,
        path,
        length,
    });
    Ok(files.collect())
}

/// Gives the rows of a file of ours to `work`, some at a time.
pub(super) fn each_batch<R: TryFrom<Row>>(
    path: &Path,
    mut work: impl FnMut(Vec<R>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let file = File::open(path).map_err(|error| DataError::read(path, error))?;
    let mut batch = Vec::new();
    each_row(path, BufReader::new(file), |row| {
        batch.extend(R::try_from(row));
        if i64::try_from(batch.len()).is_ok_and(|length| length >= PAGE) {
            work(std::mem::take(&mut batch))?;
        }
        Ok(())
    })?;
    work(batch)
}
