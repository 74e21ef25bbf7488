//! Results: rows and JSON lines on stdout, `.torrent` files in a directory.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::engine::{Origin, Resolution, Resolved};
use crate::torrent::{Infohash, safe_file_name, torrent_file};

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A row per hash, for people.
    Table,
    /// A JSON object per line.
    Jsonl,
    /// Nothing.
    None,
}

impl Format {
    /// Rows on a terminal, JSON lines into files and pipes.
    pub(super) fn for_stdout() -> Self {
        if io::stdout().is_terminal() {
            Self::Table
        } else {
            Self::Jsonl
        }
    }

    /// The line of a result, without its end.
    pub(super) fn line(self, resolution: &Resolution) -> String {
        match self {
            Self::None => String::new(),
            // A line has only strings, numbers and maps of them, which never fail to serialise.
            Self::Jsonl => serde_json::to_string(&resolution.line()).unwrap_or_default(),
            Self::Table => row(resolution),
        }
    }

    /// Writes a line of [`Format::line`].
    pub(super) fn print(self, line: &str) -> io::Result<()> {
        if self == Self::None {
            return Ok(());
        }
        super::progress::suspended(|| writeln!(io::stdout().lock(), "{line}"))
    }
}

fn row(resolution: &Resolution) -> String {
    let hash = resolution.infohash;
    match &resolution.result {
        Ok(resolved) => {
            let by = match resolved.origin {
                Origin::Peer(arm, _) => arm.as_str(),
                Origin::Store => "store",
            };
            let files = resolved
                .info
                .files
                .iter()
                .filter(|file| !file.is_padding)
                .count();
            let size = indicatif::HumanBytes(resolved.info.size).to_string();
            let seconds = resolution.elapsed.as_secs_f64();
            let name = printable(&resolved.info.name);
            format!("resolved {hash} {size:>11} {files:>5} files {seconds:>6.2}s {by:<10} {name}")
        }
        Err(unresolved) => {
            let failure = &unresolved.failure;
            let detail = printable(&failure.detail);
            format!(
                "failed   {hash} {} in {}: {detail}",
                failure.reason, failure.phase
            )
        }
    }
}

/// A text from outside, without what could steer a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Where `.torrent` files go.
#[derive(Debug)]
pub(super) struct TorrentFiles {
    directory: PathBuf,
    template: String,
}

impl TorrentFiles {
    /// Takes `-o`: a directory, or a path whose last part has `{hash}` or `{name}`. Creates the
    /// directory and makes sure that it can be written to.
    pub(super) fn create(out: &Path) -> io::Result<Self> {
        let last = out
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let (directory, template) = match last {
            Some(name) if name.contains("{hash}") || name.contains("{name}") => {
                (out.parent().unwrap_or(Path::new("")).to_path_buf(), name)
            }
            _ => (out.to_path_buf(), "{hash}.torrent".to_owned()),
        };
        let directory = if directory.as_os_str().is_empty() {
            ".".into()
        } else {
            directory
        };
        std::fs::create_dir_all(&directory)?;
        tempfile::Builder::new()
            .prefix(".metafetch-")
            .tempfile_in(&directory)?;
        Ok(Self {
            directory,
            template,
        })
    }

    /// Writes the `.torrent` of a result. The file appears whole or not at all.
    pub(super) fn write(&self, infohash: Infohash, resolved: &Resolved) -> io::Result<PathBuf> {
        let bytes = torrent_file(&resolved.raw, &resolved.trackers, None);
        let mut path = self.path(infohash, resolved, "");
        if !self.template.contains("{hash}") && std::fs::read(&path).is_ok_and(|old| old != bytes) {
            // Another torrent of the same name: neither may take the other's place.
            path = self.path(infohash, resolved, &format!(".{infohash}"));
        }
        let mut file = tempfile::Builder::new()
            .prefix(".metafetch-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&self.directory)?;
        file.write_all(&bytes)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    fn path(&self, infohash: Infohash, resolved: &Resolved, distinction: &str) -> PathBuf {
        let stem = self.template.strip_suffix(".torrent");
        let name = safe_file_name(&resolved.info.name);
        // The name is put in last: what it holds is not to be taken for a placeholder.
        let file = stem
            .unwrap_or(&self.template)
            .replace("{hash}", &infohash.to_string())
            .replace("{name}", &name);
        let suffix = if stem.is_some() { ".torrent" } else { "" };
        self.directory.join(format!("{file}{distinction}{suffix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::Info;

    fn resolved(name: &str, length: u32) -> (Infohash, Resolved) {
        let raw = format!(
            "d6:lengthi{length}e4:name{}:{name}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae",
            name.len()
        )
        .into_bytes();
        let info = Info::parse(&raw).unwrap();
        let infohash = Infohash::V1(
            sha1::Digest::finalize(sha1::Digest::chain_update(sha1::Sha1::default(), &raw)).into(),
        );
        let trackers = vec!["http://tracker.example/announce".to_owned()];
        (
            infohash,
            Resolved {
                info,
                raw,
                trackers,
                origin: Origin::Store,
            },
        )
    }

    #[test]
    fn files_are_named_by_the_template_and_stay_in_their_directory() {
        let home = tempfile::tempdir().unwrap();
        let (hash, torrent) = resolved("../../etc/passwd", 5);
        let out = TorrentFiles::create(&home.path().join("out")).unwrap();
        assert_eq!(
            out.write(hash, &torrent).unwrap(),
            home.path().join(format!("out/{hash}.torrent"))
        );
        let named = TorrentFiles::create(&home.path().join("named/{name}.torrent")).unwrap();
        let path = named.write(hash, &torrent).unwrap();
        assert_eq!(path.parent(), Some(home.path().join("named").as_path()));
        assert!(
            std::fs::read(path)
                .unwrap()
                .ends_with(&[&torrent.raw[..], b"e"].concat())
        );
    }

    #[test]
    fn two_torrents_of_one_name_both_have_a_file() {
        let home = tempfile::tempdir().unwrap();
        let out = TorrentFiles::create(&home.path().join("{name}.torrent")).unwrap();
        let (a, first) = resolved("same", 5);
        let (b, second) = resolved("same", 6);
        assert_eq!(
            out.write(a, &first).unwrap(),
            home.path().join("same.torrent")
        );
        assert_eq!(
            out.write(a, &first).unwrap(),
            home.path().join("same.torrent")
        );
        assert_eq!(
            out.write(b, &second).unwrap(),
            home.path().join(format!("same.{b}.torrent"))
        );
    }

    #[test]
    fn a_directory_that_cannot_be_is_an_error_at_once() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("file"), "").unwrap();
        assert!(TorrentFiles::create(&home.path().join("file/out")).is_err());
    }
}
