use std::{error, fmt, io, path::PathBuf};

/// Why nothing was generated.
///
/// `{:?}` writes the same text as `{}` does, followed by the causes: this is how Cargo shows an error that a build
/// script's `main` returns.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Cause>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(
        "pagination/v1/pagination.proto is in none of the include folders, and DEP_PAGINATION_INCLUDE is not set: \
         add `pagination` to [dependencies], and Cargo sets it for this build script"
    )]
    NoPagination,
    #[error("the module of pagination.v1 must begin with `::` or `crate::`, and `{0}` does not")]
    Module(String),
    #[error("OUT_DIR is not set: run this from a build script, or name a folder with `out_dir`")]
    OutDir,
    #[error("{}", with_place(.0))]
    Proto(protox::Error),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] io::Error),
    #[error("no code was generated into {0}")]
    Generate(PathBuf, #[source] io::Error),
}

/// The error with its file and line, if it has them. Its own `{}` omits both, and its `{:?}` sometimes omits the file.
fn with_place(error: &protox::Error) -> String {
    let text = format!("{error:?}");
    match error.file() {
        Some(file) if !text.contains(file) => format!("{file}: {text}"),
        _ => text,
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")?;
        let mut cause = error::Error::source(self);
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
