#![no_main]

use libfuzzer_sys::fuzz_target;
use metafetch::store::journal::{HEADER, Line, Lines, line};

/// Reads all lines; each entry is written again, and must read back as it was.
fn read(bytes: &[u8]) {
    let mut lines = Lines::new(bytes, 0);
    while let Ok(Some(found)) = lines.next_line() {
        if let Line::Entry(entry) = found {
            let records: Vec<_> = entry.records.iter().collect();
            let mut again = HEADER.as_bytes().to_vec();
            again.extend(line(entry.batch_id, &records).expect("it was read"));
            let back = Lines::new(again.as_slice(), 0).next_line();
            assert_eq!(back.expect("from memory"), Some(Line::Entry(entry)));
        }
    }
    assert_eq!(lines.at(), bytes.len() as u64);
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The checksum, which no chance finds, is put before what follows.
    let mut whole = HEADER.as_bytes().to_vec();
    whole.extend(format!("{:08x} ", crc32fast::hash(bytes)).as_bytes());
    whole.extend(bytes);
    whole.push(b'\n');
    read(&whole);
});
