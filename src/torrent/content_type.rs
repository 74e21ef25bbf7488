//! What kind of content a torrent has, by the extensions of its files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of content a torrent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentType {
    /// Moving pictures.
    Video,
    /// Sound.
    Audio,
    /// Programs, packages and disk images.
    Software,
    /// Texts, tables and presentations.
    Document,
    /// Pictures.
    Image,
    /// Packed files.
    Archive,
    /// Files, but none with an extension of the others.
    Other,
    /// No files.
    Unknown,
}

/// The extensions of each type. The first type with any match wins, whatever the other files are:
/// an album with its cover is audio, a film with its readme video.
const EXTENSIONS: [(ContentType, &[&str]); 6] = [
    (
        ContentType::Video,
        &[
            "mp4", "avi", "mkv", "mov", "wmv", "flv", "webm", "m4v", "3gp", "mpg", "mpeg",
        ],
    ),
    (
        ContentType::Audio,
        &["mp3", "flac", "wav", "aac", "ogg", "wma", "m4a", "opus"],
    ),
    (
        ContentType::Software,
        &[
            "exe", "msi", "dmg", "pkg", "deb", "rpm", "app", "iso", "bin",
        ],
    ),
    (
        ContentType::Document,
        &[
            "pdf", "doc", "docx", "txt", "rtf", "odt", "ppt", "pptx", "xls", "xlsx",
        ],
    ),
    (
        ContentType::Image,
        &["jpg", "jpeg", "png", "gif", "bmp", "tiff", "svg", "webp"],
    ),
    (
        ContentType::Archive,
        &["zip", "rar", "7z", "tar", "gz", "bz2", "xz"],
    ),
];

impl ContentType {
    /// All of them, in the order in which they win.
    pub const ALL: [Self; 8] = [
        Self::Video,
        Self::Audio,
        Self::Software,
        Self::Document,
        Self::Image,
        Self::Archive,
        Self::Other,
        Self::Unknown,
    ];

    /// The type of a torrent with files of these paths. An extension is what stands after the
    /// last dot of the whole path, in any case.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        paths
            .into_iter()
            .map(Self::of_path)
            .min()
            .unwrap_or(Self::Unknown)
    }

    fn of_path(path: &str) -> Self {
        let Some((_, extension)) = path.rsplit_once('.') else {
            return Self::Other;
        };
        EXTENSIONS
            .iter()
            .find(|(_, known)| {
                known
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(extension))
            })
            .map_or(Self::Other, |(kind, _)| *kind)
    }

    /// Its name, as databases have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Software => "software",
            Self::Document => "document",
            Self::Image => "image",
            Self::Archive => "archive",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_extension_has_its_type() {
        let table = [
            ("video", "mp4 avi mkv mov wmv flv webm m4v 3gp mpg mpeg"),
            ("audio", "mp3 flac wav aac ogg wma m4a opus"),
            ("software", "exe msi dmg pkg deb rpm app iso bin"),
            ("document", "pdf doc docx txt rtf odt ppt pptx xls xlsx"),
            ("image", "jpg jpeg png gif bmp tiff svg webp"),
            ("archive", "zip rar 7z tar gz bz2 xz"),
        ];
        for (kind, extensions) in table {
            for extension in extensions.split(' ') {
                let lower = format!("n/x.{extension}");
                let upper = format!("n/x.{}", extension.to_uppercase());
                assert_eq!(ContentType::of_paths([lower.as_str()]).as_str(), kind);
                assert_eq!(ContentType::of_paths([upper.as_str()]).as_str(), kind);
            }
        }
    }

    #[test]
    fn the_first_type_with_a_match_wins() {
        for (paths, kind) in [
            (&[][..], "unknown"),
            (&["a"], "other"),
            (&["a.", ".b", "c.xyz"], "other"),
            (&["n/cover.jpg", "n/01.flac"], "audio"),
            (&["n/01.mp3", "n/clip.mp4"], "video"),
            (&["n/readme.txt", "n/setup.exe"], "software"),
            (&["n/a.zip", "n/a.png"], "image"),
            (&["n/notes", "n/a.tar.gz"], "archive"),
            (&["film.mp4/readme"], "other"),
            (&["n.mkv/.pad/16384"], "other"),
            (&["mp4"], "other"),
            (&[".mp4"], "video"),
            (&["a.MKV"], "video"),
        ] {
            let paths = paths.iter().copied();
            assert_eq!(
                ContentType::of_paths(paths.clone()).as_str(),
                kind,
                "{paths:?}"
            );
        }
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for kind in ContentType::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
        }
        assert!(ContentType::ALL.is_sorted());
    }

    proptest! {
        #[test]
        fn the_order_of_files_does_not_matter(mut paths in prop::collection::vec(
            prop_oneof![any::<String>(), "[a-z]{1,3}\\.(mp4|mp3|iso|txt|png|zip|é)"], 0..6)
        ) {
            let kind = ContentType::of_paths(paths.iter().map(String::as_str));
            paths.reverse();
            prop_assert_eq!(ContentType::of_paths(paths.iter().map(String::as_str)), kind);
            prop_assert_eq!(kind == ContentType::Unknown, paths.is_empty());
        }
    }
}
