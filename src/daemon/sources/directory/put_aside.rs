//! The name of a file after it was taken in.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::found::Stamp;

/// How many files of one name are kept.
const MOST: u32 = 10_000;

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PutAside {
    /// It has this name now.
    To(PathBuf),
    /// Somebody else has put it away.
    Gone,
    /// It is not as it was, and has its name still.
    Changed,
}

/// Puts `.done` or the like behind the name of a file, and a number where there is such a file. Never
/// replaces one.
pub(super) fn rename(path: &Path, stamp: Stamp, suffix: &str) -> io::Result<PutAside> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if Stamp::of(&metadata).is_same(&stamp) => {}
        Ok(_) => return Ok(PutAside::Changed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PutAside::Gone),
        Err(error) => return Err(error),
    }
    for number in 0..MOST {
        let to = name(path, suffix, number);
        match renameat_with(CWD, path, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(PutAside::To(to)),
            Err(Errno::EXIST) => {}
            // Not every file system has that.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if !to.exists() {
                    return std::fs::rename(path, &to).map(|()| PutAside::To(to));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("there are too many files of that name"))
}

fn name(path: &Path, suffix: &str, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.txt");
        for text in ["a", "b", "c"] {
            std::fs::write(&path, text).unwrap();
            let stamp = Stamp::of(&path.symlink_metadata().unwrap());
            let put = rename(&path, stamp, "done").unwrap();
            assert!(matches!(put, PutAside::To(to) if to.is_file()));
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("list.txt.done"), "a");
        assert_eq!(read("list.txt.1.done"), "b");
        assert_eq!(read("list.txt.2.done"), "c");
        std::fs::write(&path, "d").unwrap();
        let stamp = Stamp::of(&path.symlink_metadata().unwrap());
        std::fs::write(&path, "longer").unwrap();
        assert_eq!(rename(&path, stamp, "done").unwrap(), PutAside::Changed);
    }
}
