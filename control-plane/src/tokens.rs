//! Bearer tokens of the folder mode: one for operators, one for proxies, each in a file
//! that is made at first start.
//!
//! Apart from the calls that they open: a token says who calls, and `serve` says who may.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::private_file;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads everything, and receives no transfers.
    Operator,
    /// Receives transfers, and reads nothing else.
    Proxy,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 2] = [Self::Operator, Self::Proxy];

    /// The name of the token's file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Operator => "operator.token",
            Self::Proxy => "proxy.token",
        }
    }
}

/// A token cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot {doing} the token {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "the token in {} is shorter than {SHORTEST} characters or longer than {LONGEST}, or has \
         spaces in it: delete the file to have a new one made",
        path.display()
    )]
    Unfit { path: PathBuf },
    #[error("the tokens of operators and proxies are the same: delete one of the files")]
    Same,
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// The tokens, of which only hashes are kept in memory.
#[derive(Clone)]
pub struct Tokens {
    operator: [u8; 32],
    proxy: [u8; 32],
}

impl Tokens {
    /// Reads the tokens in this folder, and makes those that are not there.
    pub fn open(folder: &Path) -> Result<Self, TokenError> {
        private_file::make_folder(folder).map_err(|source| TokenError::File {
            doing: "make the folder of",
            path: folder.to_owned(),
            source,
        })?;
        let tokens = Self {
            operator: hash(&read_or_make(&folder.join(Role::Operator.file_name()))?),
            proxy: hash(&read_or_make(&folder.join(Role::Proxy.file_name()))?),
        };
        if tokens.operator == tokens.proxy {
            return Err(TokenError::Same);
        }
        Ok(tokens)
    }

    /// Whose token this is. Takes as long for a wrong one as for a right one.
    pub fn role(&self, token: &str) -> Option<Role> {
        let hash = hash(token);
        let operator = same(&self.operator, &hash);
        let proxy = same(&self.proxy, &hash);
        match (operator, proxy) {
            (true, _) => Some(Role::Operator),
            (_, true) => Some(Role::Proxy),
            (false, false) => None,
        }
    }
}

/// Hashes of tokens are as secret as tokens need be.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Looks at every byte, whichever differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let different = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(different) == 0
}

fn read_or_make(path: &Path) -> Result<String, TokenError> {
    let failed = |doing| {
        move |source| TokenError::File {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    if let Some(text) = private_file::read(path).map_err(failed("read"))? {
        let token = text.trim_end();
        let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !(SHORTEST..=LONGEST).contains(&token.len()) || !printable {
            return Err(TokenError::Unfit {
                path: path.to_owned(),
            });
        }
        return Ok(token.to_owned());
    }
    let token = draw()?;
    private_file::write(path, format!("{token}\n")).map_err(failed("make"))?;
    Ok(token)
}

fn draw() -> Result<String, TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut token, byte| {
        // Writing to a string does not fail.
        let _ = write!(token, "{byte:02x}");
        token
    }))
}

const SHORTEST: usize = 32;
const LONGEST: usize = 256;

#[cfg(test)]
mod tests;
