//! The start of every SOCKS5 connection: how to log in, and the login.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
/// The version of the login itself (RFC 1929).
const LOGIN_VERSION: u8 = 1;

/// A user and a password, 1 to 255 bytes each.
pub(super) struct Login {
    user: String,
    password: String,
}

impl Login {
    /// `None` where one of them is empty or too long.
    pub(super) fn new(user: String, password: String) -> Option<Self> {
        let fits = |text: &str| (1..=255).contains(&text.len());
        (fits(&user) && fits(&password)).then_some(Self { user, password })
    }

    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Says hello, and logs in where the proxy wants that.
pub(super) async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: Option<&Login>,
) -> io::Result<()> {
    let hello: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    stream.write_all(hello).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match (answer, login) {
        ([VERSION, NO_LOGIN], _) => Ok(()),
        ([VERSION, PASSWORD], Some(login)) => {
            stream.write_all(&encoded(login)).await?;
            stream.read_exact(&mut answer).await?;
            match answer {
                [LOGIN_VERSION, 0] => Ok(()),
                _ => Err(io::Error::other("it refused the user or the password")),
            }
        }
        ([VERSION, _], None) => Err(io::Error::other("it wants a user and a password")),
        ([VERSION, _], Some(_)) => {
            let what = "it wants another login than a user and a password";
            Err(io::Error::other(what))
        }
        _ => Err(io::Error::other("it is no SOCKS5 proxy")),
    }
}

fn encoded(login: &Login) -> Vec<u8> {
    let mut bytes = vec![LOGIN_VERSION];
    for text in [&login.user, &login.password] {
        // Both were checked to fit.
        bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn greeted(login: Option<&Login>, answers: &'static [u8]) -> (io::Result<()>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(answers).await.unwrap();
        let result = greet(&mut ours, login).await;
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        (result, sent)
    }

    #[tokio::test]
    async fn the_login_is_sent_where_it_is_wanted() {
        let login = Login::new("ab".into(), "cde".into()).unwrap();
        let (result, sent) = greeted(Some(&login), &[5, 2, 1, 0]).await;
        assert!(result.is_ok());
        assert_eq!(sent, b"\x05\x02\x00\x02\x01\x02ab\x03cde");
        let (result, sent) = greeted(Some(&login), &[5, 0]).await;
        assert!(result.is_ok());
        assert_eq!(sent, [5, 2, 0, 2], "not wanted, not sent");
        assert!(greeted(None, &[5, 0]).await.0.is_ok());
    }

    #[tokio::test]
    async fn what_is_refused_or_is_no_proxy() {
        let login = Login::new("ab".into(), "cde".into()).unwrap();
        for (login, answers, says) in [
            (Some(&login), &[5, 2, 1, 1][..], "refused"),
            (Some(&login), &[5, 255], "another login"),
            (None, &[5, 255], "wants a user"),
            (None, &[5, 2], "wants a user"),
            (None, b"HT", "no SOCKS5 proxy"),
            (None, &[4, 0], "no SOCKS5 proxy"),
        ] {
            let error = greeted(login, answers).await.0.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("cde"));
        }
    }

    #[test]
    fn neither_part_is_empty_or_too_long() {
        assert!(Login::new(String::new(), "x".into()).is_none());
        assert!(Login::new("x".into(), String::new()).is_none());
        assert!(Login::new("x".into(), "x".repeat(256)).is_none());
        let login = Login::new("x".repeat(255), "secret".into()).unwrap();
        assert_eq!(format!("{login:?}"), "Login(..)");
    }
}
