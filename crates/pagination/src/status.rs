use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{FieldViolation, InvalidArgument, MAX_VIOLATIONS};

impl From<InvalidArgument> for Status {
    /// INVALID_ARGUMENT with a `google.rpc.BadRequest` that holds the violations, and for a refused page token also with
    /// a `google.rpc.ErrorInfo` that holds the reason. The status has at most [`MAX_VIOLATIONS`] violations, because it
    /// is sent in HTTP/2 headers, and clients accept only a few kilobytes of headers.
    fn from(error: InvalidArgument) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::new();
        if let InvalidArgument::PageToken(error) = &error {
            details.set_error_info(error.kind.reason(), error.domain, []);
        }
        for FieldViolation { field, description } in error.into_violations().into_iter().take(MAX_VIOLATIONS) {
            details.add_bad_request_violation(field, description);
        }
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}
