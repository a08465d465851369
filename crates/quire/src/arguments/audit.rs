use std::{num::NonZeroU32, path::PathBuf};

use clap::Args;

/// Where the audit log goes.
#[derive(Debug, Args)]
pub(crate) struct AuditLog {
    /// A file for the audit log, one JSON object on each line [default: the log, as lines of `audit`]
    #[arg(long, env = "QUIRE_AUDIT_LOG", value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,

    /// How large a file of the audit log may become, in MiB. Then it is renamed to FILE.1
    #[arg(long, env = "QUIRE_AUDIT_LOG_SIZE", value_name = "MIB", default_value = "64")]
    audit_log_size: NonZeroU32,

    /// How many files the audit log may have. The oldest is overwritten
    #[arg(long, env = "QUIRE_AUDIT_LOG_FILES", value_name = "NUMBER", default_value = "8")]
    pub(crate) audit_log_files: NonZeroU32,
}

impl AuditLog {
    /// The maximum size of a file in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        u64::from(self.audit_log_size.get()) << 20
    }
}
