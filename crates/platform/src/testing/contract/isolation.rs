//! The answers in a workspace do not depend on other workspaces, and calls change no other workspace.

use prost_reflect::{DynamicMessage, ReflectMessage};
use tonic::Code;

use super::{
    answers::messages_of,
    client::Answer,
    method::Method,
    run::{Run, describe},
};

/// The name of a method and its answer, without the values that differ each time.
type Told = (String, Answer);

impl Run<'_> {
    /// After each number of examples, compares the answers in a workspace while all other workspaces are empty with the
    /// answers while another workspace has the same rows.
    pub async fn check_isolation(&self) {
        for count in 0..=self.contract.examples.len() {
            let alone = self.writes(count, None).await;
            self.clear().await;
            let ours = self.new_workspace();
            self.fill(&ours, &self.contract.examples[..count]).await;
            let (rows, reads) = (self.rows(&ours).await, self.reads(&ours).await);
            let theirs = self.new_workspace();
            let (kept, deleting): (Vec<_>, Vec<_>) =
                self.contract.examples.iter().cloned().partition(|example| !example.deletes());
            self.fill(&theirs, &kept).await;
            self.compare(&reads, &self.reads(&ours).await, "creates the same rows");
            let beside = self.writes(count, Some(&theirs)).await;
            self.compare(&alone, &beside, "has the same rows");
            self.fill(&theirs, &deleting).await;
            self.compare(&reads, &self.reads(&ours).await, "deletes the same rows");
            self.hold(self.rows(&ours).await == rows, || "a workspace changes the rows of another".to_owned());
            self.hold(count == 0 || !rows.is_empty(), || "the examples make no rows".to_owned());
        }
    }

    fn compare(&self, alone: &[Told], beside: &[Told], what: &str) {
        for ((method, alone), (_, beside)) in alone.iter().zip(beside) {
            let answers = || format!("{} becomes {}", describe(alone), describe(beside));
            self.hold(is_same(alone, beside), || {
                format!("{method}: changes if another workspace {what}: {}", answers())
            });
        }
    }

    /// The answers of all methods that write, each in its own workspace, after this number of examples. The rows of the
    /// other workspace must not change.
    async fn writes(&self, count: usize, other: Option<&str>) -> Vec<Told> {
        let mut answers = Vec::new();
        for method in self.contract.methods().filter(|method| !method.only_reads()) {
            if other.is_none() {
                self.clear().await;
            }
            let workspace = self.new_workspace();
            self.fill(&workspace, &self.contract.examples[..count]).await;
            let before = self.rows(other.unwrap_or_default()).await;
            let answer = self.call(&workspace, method, &method.base()).await;
            let is_same = self.rows(other.unwrap_or_default()).await == before;
            self.hold(is_same, || format!("{}: changes the rows of another workspace", method.name()));
            if count == 0 {
                self.check_nothing(method, &answer);
            }
            // Created rows differ each time.
            let answer = answer.map(|message| DynamicMessage::new(message.descriptor()));
            answers.push((method.name().to_owned(), answer));
        }
        answers
    }

    /// The answers of all methods that only read.
    async fn reads(&self, workspace: &str) -> Vec<Told> {
        let is_empty = self.rows(workspace).await.is_empty();
        let mut answers = Vec::new();
        for method in self.contract.methods().filter(|method| method.only_reads()) {
            let answer = self.call(workspace, method, &method.request).await;
            if is_empty {
                self.check_nothing(method, &answer);
            }
            // Page tokens differ each time.
            let answer = answer.map(|mut message| {
                message.clear_field_by_name("page");
                message
            });
            answers.push((method.name().to_owned(), answer));
        }
        answers
    }

    /// In an empty workspace a list is empty or NOT_FOUND, and every other method that creates nothing is NOT_FOUND.
    fn check_nothing(&self, method: &Method, answer: &Answer) {
        let what = || format!("{}: in an empty workspace", method.name());
        if method.creates(self.contract) && !method.refers(self.contract) {
            self.hold_ok(answer, what);
        } else if let (Some(rows), Ok(message)) = (method.rows(), answer) {
            let is_empty = messages_of(&message.get_field(&rows)).is_empty();
            self.hold(is_empty, || format!("{}: has rows: {}", what(), describe(answer)));
        } else {
            self.hold_about(answer, Code::NotFound, &method.base(), what);
        }
    }
}

fn is_same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => describe(one) == describe(other),
        _ => false,
    }
}
