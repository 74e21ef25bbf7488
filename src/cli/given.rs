//! Which arguments were given, and which have their default: what was given wins over the
//! configuration, a default does not.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error};

/// The arguments that were given. Flattened into the arguments of a command, it takes none itself. It
/// must be the first field there: whatever reads an argument takes it away from the matches.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(BTreeMap<String, ValueSource>);

impl Given {
    /// Whether this argument, by its id, was given: on the command line, or by its variable.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether it was given on the command line, which other users of the host can read.
    pub(super) fn on_the_command_line(&self, id: &str) -> bool {
        self.0.get(id) == Some(&ValueSource::CommandLine)
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl clap::FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for id in matches.ids() {
            let source = matches.value_source(id.as_str());
            if let Some(source) = source.filter(|source| *source != ValueSource::DefaultValue) {
                self.0.insert(id.to_string(), source);
            }
        }
        Ok(())
    }
}
