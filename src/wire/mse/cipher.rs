//! RC4 as MSE/PE uses it, one cipher for each direction.

use rc4::{KeyInit as _, Rc4, StreamCipher as _};

use super::{dh, hash};

/// Bytes of the key stream that are never used.
const DISCARDED: usize = 1024;

/// The cipher of one direction.
pub struct Cipher(Rc4);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// The cipher of the direction that `name` stands for: `keyA` of who dials, `keyB` of the other.
    pub(super) fn new(name: &[u8], shared: &[u8; dh::KEY], skey: &[u8; 20]) -> Self {
        let rc4 = Rc4::new_from_slice(&hash(&[name, shared, skey]));
        // RC4 takes every key of 1 to 256 bytes.
        let mut rc4 = rc4.unwrap_or_else(|_| Rc4::new(&[0; 32].into()));
        rc4.apply_keystream(&mut [0; DISCARDED]);
        Self(rc4)
    }

    /// Encrypts or decrypts, which is the same.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}
