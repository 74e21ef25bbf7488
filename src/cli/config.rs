//! `metafetch config`: write, check and show the configuration.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::listing::print;
use super::{Exit, Stop, say};
use crate::config::{ApiToken, CONFIG, Config, Scope, effective, markdown, template};

/// The configuration: a TOML file that `--config` names, and the environment.
///
/// Exit codes: 0 done, 1 failed to run, 2 the configuration is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write a file with every key, its meaning and its default
    Init {
        /// Where to; - for stdout. A file that is there is left alone
        #[arg(value_name = "PATH", default_value = "metafetch.toml")]
        path: PathBuf,
    },
    /// Say what is wrong with a file, or that nothing is
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show every value and where it comes from: the default, a line of the file, the environment.
    /// Flags of other commands win over it, and passwords are not shown
    Show {
        /// The file
        #[arg(long, value_name = "FILE", env = CONFIG, hide_env_values = true)]
        config: Option<PathBuf>,
    },
    /// Make a token for the HTTP API, on stdout; on stderr the line for the configuration, which holds only its
    /// digest. The token is not kept anywhere, and can't be shown again
    Token {
        /// What it allows: `read` to read and to ask for hashes, `admin` all
        #[arg(long, value_enum, default_value = "read")]
        scope: Scope,
    },
    /// Print the reference of all keys, as Markdown
    Reference,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Result<Exit, Stop> {
    match args.what {
        What::Init { path } if path.as_os_str() == "-" => print_text(&template())?,
        What::Init { path } => init(&path)?,
        What::Check { file } => {
            let config = load(Some(&file))?;
            let usage = |what: String| Stop::new(Exit::Usage, what);
            config
                .proxy()
                .map_err(|error| usage(format!("privacy.proxy: {error}")))?;
            config
                .dht_crawler
                .login_password()
                .map_err(|error| usage(format!("dht_crawler.password_file: {error}")))?;
            say(format_args!("{}: all is right", file.display()));
        }
        What::Show { config } => {
            let (config, origins) =
                Config::load_with_origins(config.as_deref()).map_err(|error| wrong(&error))?;
            print_text(&effective(&config, &origins))?;
        }
        What::Token { scope } => {
            let (token, kept) = ApiToken::generate(scope);
            say(format_args!(
                "send it as `Authorization: Bearer TOKEN`; below [api] in the configuration: tokens = [\"{kept}\"]"
            ));
            print_text(&format!("{token}\n"))?;
        }
        What::Reference => print_text(&markdown())?,
    }
    Ok(Exit::Done)
}

fn load(path: Option<&Path>) -> Result<Config, Stop> {
    Config::load(path).map_err(|error| wrong(&error))
}

fn wrong(error: &crate::config::ConfigError) -> Stop {
    Stop::new(Exit::Usage, error.to_string())
}

fn init(path: &Path) -> Result<(), Stop> {
    // It may come to hold passwords.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(template().as_bytes()));
    let shown = path.display();
    match written {
        Ok(()) => {
            say(format_args!(
                "{shown} is written: change it, and use it by --config {shown}, or by {CONFIG}"
            ));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Stop::new(
            Exit::Failed,
            format!(
                "{shown} is there already, and is left alone: name another path, or - to print"
            ),
        )),
        Err(error) => Err(Stop::new(
            Exit::Failed,
            format!("{shown} can't be written: {error}"),
        )),
    }
}

fn print_text(text: &str) -> Result<(), Stop> {
    print(|out| out.write_all(text.as_bytes()))
}
