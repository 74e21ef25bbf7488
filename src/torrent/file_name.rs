//! File names made of names that strangers chose.

/// Length of a safe name in bytes of UTF-8: file systems allow 255, and callers add a suffix.
const MAX: usize = 200;

/// Names that Windows keeps for devices, whatever comes after the first dot.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// `name` as one path component that is safe on Linux, macOS and Windows: no separators, no
/// control characters, none of `<>:"|?*`, nothing that turns the direction of text, no dot, dash
/// or tilde in front, no dot or space at the end, no device of Windows, at most 200 bytes, and
/// never empty. What is not allowed becomes `_`; a name that is safe stays as it is.
#[must_use]
pub fn safe_file_name(name: &str) -> String {
    let allowed: String = name
        .trim()
        .chars()
        .map(|char| if is_allowed(char) { char } else { '_' })
        .collect();
    let mut safe = cut(&allowed);
    // Hidden files, options of command lines, home directories.
    if safe.starts_with(['.', '-', '~']) {
        safe.replace_range(..1, "_");
    }
    if is_device(&safe) {
        safe = cut(&format!("_{safe}"));
    }
    if safe.is_empty() {
        safe.push('_');
    }
    safe
}

fn is_allowed(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*'
            // These make `gpj.exe` look like `exe.jpg`.
            | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators, and the byte order mark.
            | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
}

/// The start of `name` within [`MAX`] bytes, without dots and spaces at its end.
fn cut(name: &str) -> String {
    let mut end = name.len().min(MAX);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.get(..end)
        .unwrap_or_default()
        .trim_end_matches(|char: char| char == '.' || char.is_whitespace())
        .to_owned()
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        let mut rest = stem.strip_prefix(port).unwrap_or_default().chars();
        let is_number = |char: char| char.is_ascii_digit() || matches!(char, '¹' | '²' | '³');
        rest.next().is_some_and(is_number) && rest.next().is_none()
    });
    is_port || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn safe_names_stay() {
        for name in [
            "debian-12.5.0-amd64-netinst.iso",
            "Фильм (2020) [1080p]",
            "日本語",
            "a b.c",
            "console.log",
            "COM10",
            "_",
        ] {
            assert_eq!(safe_file_name(name), name);
        }
    }

    #[test]
    fn unsafe_names_are_made_safe() {
        for (name, safe) in [
            ("", "_"),
            (".", "_"),
            ("..", "_"),
            ("...", "_"),
            ("   ", "_"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("..\\x", "_._x"),
            ("/", "_"),
            ("a\0b\n", "a_b"),
            ("C:\\x", "C__x"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("~root", "_root"),
            ("name. . ", "name"),
            ("nul", "_nul"),
            ("Con.tar.gz", "_Con.tar.gz"),
            ("com1 .txt", "_com1 .txt"),
            ("LPT²", "_LPT²"),
            ("a\u{202e}gpj.exe", "a_gpj.exe"),
        ] {
            assert_eq!(safe_file_name(name), safe, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(safe_file_name(&"x".repeat(500)), "x".repeat(200));
        assert_eq!(safe_file_name(&"日".repeat(100)), "日".repeat(66));
        let spaced = format!("{}{}x", "a".repeat(190), " ".repeat(50));
        assert_eq!(safe_file_name(&spaced), "a".repeat(190));
        let device = format!("nul.{}", "x".repeat(300));
        assert_eq!(safe_file_name(&device).len(), 200);
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_component(
            name in prop_oneof![any::<String>(), "[./\\\\ ~conCONul1:-]{0,12}", "\\PC{60,90}"],
        ) {
            let safe = safe_file_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX);
            prop_assert!(safe.chars().all(is_allowed));
            prop_assert!(!safe.starts_with(['.', '-', '~']) && !safe.ends_with(['.', ' ']));
            prop_assert!(!is_device(&safe));
            prop_assert_eq!(std::path::Path::new(&safe).components().count(), 1);
            prop_assert_eq!(safe_file_name(&safe), safe, "safe names stay");
        }
    }
}
