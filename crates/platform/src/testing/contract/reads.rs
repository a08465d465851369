//! How many rows calls read.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, Value};

use super::client;
use crate::{
    Platform, Service,
    testing::{self, Many},
};

/// Calls of one method: its name, the maximum number of rows that they may read in total, and the requests in JSON.
pub type Calls = (&'static str, i64, Vec<String>);

impl Many {
    /// Asserts that calls of a service's methods read few rows, each by an index. For lists, the second page is read
    /// too. A call may fail with an error about a row.
    pub async fn assert_calls(&self, service: &'static Service, workspace: &str, calls: Vec<Calls>) {
        let methods: Vec<_> = client::service(service.grpc_name).methods().collect();
        for (name, most, requests) in calls {
            let method = methods.iter().find(|method| method.name() == name).unwrap();
            let call = async |platform: &Platform| {
                let channel = testing::serve_on(platform, service).await;
                for json in &requests {
                    let mut request = client::request(method, json);
                    let answer = client::call(&channel, workspace, method, &request).await;
                    let Some(token) = answer.ok().as_ref().and_then(next_page_token) else { continue };
                    if let Some(Value::Message(page)) = request.get_field_by_name_mut("page") {
                        page.set_field_by_name("page_token", token);
                    }
                    client::call(&channel, workspace, method, &request).await.unwrap();
                }
            };
            self.assert_reads(name, most, call).await;
        }
    }
}

/// The token of the next page.
fn next_page_token(answer: &DynamicMessage) -> Option<Value> {
    answer.get_field_by_name("page")?.as_message()?.get_field_by_name("next_page_token").map(Cow::into_owned)
}
