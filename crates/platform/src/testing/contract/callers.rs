//! Calls without a caller, or from a workspace with an invalid name, are refused.

use tonic::Code;

use super::{
    client::{self, Answer},
    run::Run,
};
use crate::testing;

impl Run<'_> {
    /// Calls every method without a caller, and from workspaces with invalid names.
    pub async fn check_callers(&self) {
        let platform = testing::platform().await;
        let bare = testing::serve_bare((self.contract.registration.open)(&platform).await.unwrap().routes).await;
        for method in self.contract.methods() {
            let answer: Answer = client::call(&bare, "default", &method.descriptor, &method.request).await;
            self.hold_code(&answer, Code::Unauthenticated, || format!("{}: without a caller", method.name()));
            for workspace in ["", "A", "a_b", "a b", "*", &"x".repeat(64)] {
                let answer = self.call(workspace, method, &method.request).await;
                let fields = [crate::WORKSPACE_METADATA.to_owned()].into();
                let what = || format!("{}: from the workspace {workspace:?}", method.name());
                self.hold_refused(&answer, &fields, "must be 1 to 63 of a-z, 0-9 and -", what);
            }
        }
    }
}
