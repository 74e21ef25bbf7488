//! Environment variables: `METAFETCH_<SECTION>_<KEY>`, and some with names of their own.

use std::ffi::OsString;

use super::error::nearest;
use super::keys::{KEYS, Key, SECTIONS};
use super::value::Given;
use super::{Layers, Origin, Place, Problem};

/// Variables that flags of the command line stand for.
pub(super) const OF_FLAGS: [&str; 2] = ["METAFETCH_STORE", "METAFETCH_PROXY"];

/// Variables that are read where they are needed, and no keys, though they look like keys.
const OTHERS: [&str; 2] = ["METAFETCH_STORE_PASSWORD", "METAFETCH_STORE_PASSWORD_FILE"];

impl Key {
    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        variable(self.section, self.name)
    }
}

fn variable(section: &str, name: &str) -> String {
    format!("METAFETCH_{section}_{name}").to_uppercase()
}

impl Layers {
    pub(super) fn add_environment(&mut self, variables: &[(OsString, OsString)]) {
        for key in KEYS {
            // The one with a name of its own wins.
            let names = [Some(key.variable()), key.also.map(str::to_owned)];
            for name in names.into_iter().flatten() {
                let set = variables.iter().find(|(set, _)| *set == *name);
                // An empty variable is as good as none.
                if let Some((_, value)) = set.filter(|(_, value)| !value.is_empty()) {
                    self.add_variable(key, name, value);
                }
            }
        }
        for (name, _) in variables {
            if let Some(what) = name.to_str().and_then(unknown) {
                let place = Place::Variable(name.to_string_lossy().into_owned());
                self.problems.push(Problem { place, what });
            }
        }
    }

    fn add_variable(&mut self, key: &Key, name: String, value: &OsString) {
        let set = value
            .to_str()
            .ok_or_else(|| "this is not UTF-8 text".to_owned())
            .and_then(|text| key.set(&mut self.config, &Given::Word(text)));
        if let Err(what) = set {
            let place = Place::Variable(name);
            self.problems.push(Problem { place, what });
        } else {
            let origin = Origin::Environment(name);
            self.origins.insert((key.section, key.name), origin);
        }
    }
}

/// What to say of a variable that looks like one of ours and is none.
fn unknown(name: &str) -> Option<String> {
    if OTHERS.contains(&name) {
        return None;
    }
    let of_section = |section: &str| name.starts_with(&variable(section, ""));
    if !SECTIONS.iter().any(|(section, _)| of_section(section)) {
        return None;
    }
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    if known.iter().any(|known| known == name) {
        return None;
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Some(match nearest(name, &known) {
        Some(known) => format!("there is no such key: did you mean {known}?"),
        None => "there is no such key".to_owned(),
    })
}
