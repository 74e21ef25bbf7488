use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn written(wanted: Wanted, write: impl AsyncFnOnce(Console)) -> String {
    let page = Page::default();
    let (console, writer) = Console::over(wanted, page.clone()).unwrap();
    write(console.clone()).await;
    writer.finish(&console).await.unwrap();
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_line_does_not_stand_behind_the_counter() {
    let text = written(Wanted::default(), async |console| {
        console.counter("Hashes found - 1".into()).await;
        console.counter("Hashes found - 2".into()).await;
        console.line("Stored").await;
        console.line("again").await;
        console.counter("Hashes found - 3".into()).await;
    })
    .await;
    assert_eq!(
        text,
        "\rHashes found - 1\rHashes found - 2\nStored\nagain\n\rHashes found - 3\n"
    );
}

#[tokio::test]
async fn control_characters_of_strangers_are_not_written() {
    let text = written(Wanted::default(), async |console| {
        console.line("Name: a\nHash: b\x1b[2J\u{9b}31mä").await;
    })
    .await;
    assert_eq!(text, "Name: a_Hash: b_[2J_31mä\n");
}

#[tokio::test]
async fn each_flag_has_its_lines() {
    let all = async |console: Console| {
        console.line("frame").await;
        console.discovery(vec!["found".into()]).await;
        console.metadata_log(&["log".into()]).await;
        console.debug(format_args!("debug"));
        console.counter("counter".into()).await;
    };
    for (debug, verbose, metadata_log, expected) in [
        (false, false, false, "frame\nfound\n\rcounter\n"),
        (false, true, false, "frame\nfound\n"),
        (
            true,
            true,
            false,
            "frame\nfound\n[DEBUG] log\n[DEBUG] debug\n",
        ),
        (false, false, true, "frame\n[METADATA_LOG] log\n"),
        (true, false, true, "frame\n[METADATA_LOG] log\n"),
    ] {
        let wanted = Wanted {
            debug,
            verbose,
            metadata_log,
        };
        assert_eq!(written(wanted, all).await, expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_is_noticed_and_a_full_disk_is_an_error() {
    for (kind, is_error) in [
        (io::ErrorKind::BrokenPipe, false),
        (io::ErrorKind::StorageFull, true),
    ] {
        let (console, writer) = Console::over(Wanted::default(), Broken(kind)).unwrap();
        console.line("anybody?").await;
        console.gone().await;
        console.line("nobody").await;
        assert_eq!(writer.finish(&console).await.is_err(), is_error, "{kind}");
    }
}
