//! Concurrent batches with common rows.

use futures_util::future::join_all;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::{
    batches::{always_skips, flag},
    method::Method,
    run::Run,
};

const ROUNDS: usize = 6;
/// The number of rows in a batch: enough that concurrent batches overlap in time.
const ROWS: usize = 400;

impl Run<'_> {
    /// Sends batches that skip existing rows concurrently, with the same rows in different orders. Services insert rows
    /// in the order of a key, so the batches do not deadlock, and all succeed.
    pub async fn check_overlaps(&self, method: &Method, field: &FieldDescriptor) {
        if flag(method).is_none() && !always_skips(method) {
            return;
        }
        let workspace = self.workspace_for(method).await;
        for _ in 0..ROUNDS {
            let mut forward = self.sized(method, field, ROWS);
            if let Some(flag) = flag(method) {
                forward.set_field(&flag, Value::Bool(true));
            }
            let reverse = with(&forward, field, |rows| rows.reverse());
            let half = with(&forward, field, |rows| drop(rows.drain(..ROWS / 2)));
            let requests = [forward.clone(), reverse, half, forward];
            let answers = requests.iter().map(|request| self.call(&workspace, method, request));
            for answer in join_all(answers).await {
                self.hold_ok(&answer, || format!("{} at the same time as batches of the same rows", method.name()));
            }
        }
    }
}

fn with(request: &DynamicMessage, field: &FieldDescriptor, change: impl Fn(&mut Vec<Value>)) -> DynamicMessage {
    let mut request = request.clone();
    if let Value::List(rows) = request.get_field_mut(field) {
        change(rows);
    }
    request
}
