//! Node ids and nodes, from one run to the next.

use crate::wire::bencode::{Limits, Node, parse};

/// One state for all of these, the first identity's first.
pub(crate) fn join(states: &[Vec<u8>]) -> Vec<u8> {
    match states {
        [only] => only.clone(),
        all => {
            let mut list = b"l".to_vec();
            for state in all {
                list.extend(format!("{}:", state.len()).as_bytes());
                list.extend(state);
            }
            list.push(b'e');
            list
        }
    }
}

/// The state of each identity: a dictionary is that of the first one, a list has one for each.
/// Rubbish is none at all.
pub(crate) fn split(state: &[u8]) -> Vec<Vec<u8>> {
    match parse(state, Limits::INFO) {
        Ok(node) if node.as_dict().is_some() => vec![state.to_vec()],
        Ok(node) => (node.as_list().unwrap_or_default().iter())
            .map(|state| Node::as_bytes(state).unwrap_or_default())
            .map(|state| match parse(state, Limits::INFO) {
                Ok(dict) if dict.as_dict().is_some() => state.to_vec(),
                _ => Vec::new(),
            })
            .collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_is_split_again() {
        let (one, other) = (b"d1:a1:be".to_vec(), b"de".to_vec());
        let only = [one.clone()];
        assert_eq!(split(&join(&only)), only);
        let both = [one, other];
        assert_eq!(split(&join(&both)), both);
        assert_eq!(split(b""), Vec::<Vec<u8>>::new());
        assert_eq!(split(b"rubbish"), Vec::<Vec<u8>>::new());
        assert_eq!(split(b"l2:dei5ee"), [b"de".to_vec(), Vec::new()]);
    }
}
