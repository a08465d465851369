//! Each filter has an effect, pages lead through all rows, and a page token opens only for its own query.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use tonic::Code;
use tonic_types::StatusExt;

use super::{
    answers::messages_of,
    client::Answer,
    filters::{is_text, other_values},
    method::Method,
    run::{Run, describe},
};

const CHANGED: &[&str] = &["PAGE_TOKEN_QUERY_CHANGED"];
const BROKEN: &[&str] = &["PAGE_TOKEN_MALFORMED", "PAGE_TOKEN_UNTRUSTED", "PAGE_TOKEN_UNSUPPORTED_VERSION"];

/// A request of a list, and its description in a report.
#[derive(Debug, Clone)]
struct Query {
    what: String,
    request: DynamicMessage,
}

impl Run<'_> {
    /// Checks a list's filters, orders, totals and tokens.
    pub async fn check_tokens(&self, method: &Method) {
        if method.page().is_none() {
            return;
        }
        let workspace = self.workspace_for(method).await;
        let all = Query { what: "without filters".to_owned(), request: self.contract.without_filters(method) };
        let filters = self.check_filters(&workspace, method, &all).await;
        let orders = self.check_orders(&workspace, method, &all).await;
        self.check_totals(&workspace, method, &all).await;
        let mut queries = vec![all];
        queries.extend(filters.into_iter().chain(orders));
        let with_all = Query { what: "with all filters".to_owned(), request: method.request.clone() };
        queries.extend((queries.len() > 2).then_some(with_all));
        for (place, query) in queries.iter().enumerate() {
            self.check_walk(&workspace, method, query).await;
            let Some(token) = self.token(&workspace, method, query).await else { continue };
            let others = queries.iter().enumerate().filter(|(other, _)| *other != place);
            for (_, other) in others {
                self.check_token(&workspace, method, other, &token, CHANGED, &query.what).await;
            }
            self.check_elsewhere(&workspace, method, query, &token).await;
        }
    }

    /// Each filter alone finds some rows with the example's value, and other rows or none with another value.
    async fn check_filters(&self, workspace: &str, method: &Method, all: &Query) -> Vec<Query> {
        let mut queries = Vec::new();
        let everything = self.page(workspace, method, &all.request).await;
        for row in &everything {
            let got = self.get(workspace, row).await;
            self.hold(got.is_none_or(|got| got == self.as_got(row)), || {
                format!("{}: {row} is not what Get answers", method.name())
            });
        }
        for leaf in method.leaves().iter().filter(|leaf| self.contract.is_filter(method, leaf)) {
            let with = |value: Value| {
                let mut request = all.request.clone();
                leaf.path.set(&mut request, Some(value));
                request
            };
            let value = leaf.path.get(&method.request);
            let found = self.page(workspace, method, &with(value.clone())).await;
            let what = || format!("{} {}", method.name(), leaf.path);
            let is_part = found.iter().all(|row| everything.contains(row));
            self.hold(is_part, || format!("{}: finds a row that the list does not contain", what()));
            self.hold(found.len() >= 2, || format!("{}: finds {} rows; two are needed", what(), found.len()));
            let mut differs = false;
            for other in other_values(&leaf.path.field().kind(), &value) {
                let request = with(other);
                let rows = self.page(workspace, method, &request).await;
                differs |= rows.iter().all(|row| !found.contains(row));
                queries.push(Query { what: format!("with another {}", leaf.path), request });
            }
            self.hold(differs, || format!("{}: has no effect", what()));
            if is_text(&value) {
                // The empty text is a value like any other. As a prefix of every text, it means the same as no filter.
                let empty =
                    Query { what: format!("with an empty {}", leaf.path), request: with(Value::String(String::new())) };
                let rows = self.page(workspace, method, &empty.request).await;
                if leaf.path.field().name().ends_with("_prefix") {
                    self.hold(rows == everything, || format!("{}: the empty value is not ignored", what()));
                    self.check_same(workspace, method, all, &empty).await;
                } else {
                    let is_right = rows.iter().all(|row| !found.contains(row));
                    self.hold(is_right, || format!("{}: the empty value is ignored", what()));
                    queries.push(empty);
                }
            }
            queries.push(Query { what: format!("with {}", leaf.path), request: with(value) });
        }
        queries
    }

    /// All orders have the same rows, and the first order is the default.
    async fn check_orders(&self, workspace: &str, method: &Method, all: &Query) -> Vec<Query> {
        let mut queries = Vec::new();
        let Some(field) = method.descriptor.input().get_field_by_name("order_by") else { return queries };
        let by = |name: &str| {
            let mut request = all.request.clone();
            request.set_field(&field, Value::String(name.to_owned()));
            request
        };
        let refusal = self.call(workspace, method, &by("nonsense")).await;
        let message = refusal.err().map(|status| status.message().to_owned()).unwrap_or_default();
        let names: Vec<_> = message.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        self.hold(!names.is_empty(), || format!("{} order_by: no orders are named: {message}", method.name()));
        let default = self.page(workspace, method, &all.request).await;
        for (place, name) in names.iter().enumerate() {
            let rows = self.page(workspace, method, &by(name)).await;
            let what = || format!("{} order_by {name:?}", method.name());
            let is_same = rows.len() == default.len() && rows.iter().all(|row| default.contains(row));
            self.hold(is_same, || format!("{}: has other rows", what()));
            if place == 0 {
                self.hold(rows == default, || format!("{}: is not the default", what()));
                let spaced = self.page(workspace, method, &by(&format!("  {} ", name.replace(' ', "   ")))).await;
                self.hold(rows == spaced, || format!("{}: depends on spaces", what()));
            } else {
                queries.push(Query { what: format!("by {name}"), request: by(name) });
            }
        }
        queries
    }

    /// A total counts all rows, and is returned only if it is requested.
    async fn check_totals(&self, workspace: &str, method: &Method, all: &Query) {
        let rows = self.page(workspace, method, &all.request).await;
        for (number, expected) in [(0, None), (1, Some(rows.len() as i64)), (2, Some(rows.len() as i64))] {
            let wanted = [("total_count", Value::EnumNumber(number)), ("page_size", Value::I32(1))];
            let answer = self.ask(workspace, method, &all.request, &wanted).await;
            let total = answer.as_ref().ok().and_then(|answer| of_page(answer, "total_count")?.as_i64());
            let what = || format!("{} page.total_count {number}", method.name());
            self.hold(total == expected, || format!("{}: is {total:?}, not {expected:?}", what()));
        }
    }

    /// Pages of one row each lead through all rows, to the end and back.
    async fn check_walk(&self, workspace: &str, method: &Method, query: &Query) {
        let all = self.page(workspace, method, &query.request).await;
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let mut token = Value::String(String::new());
        for (rows, which) in [(&mut there, "next_page_token"), (&mut back, "previous_page_token")] {
            for _ in 0..=all.len() {
                let wanted = [("page_size", Value::I32(1)), ("page_token", token.clone())];
                let answer = self.ask(workspace, method, &query.request, &wanted).await;
                self.hold_ok(&answer, || format!("{} {}: a page", method.name(), query.what));
                let Ok(answer) = answer else { return };
                rows.extend(rows_of(method, &answer));
                let next = of_page(&answer, which).unwrap_or(Value::String(String::new()));
                if next.as_str().is_none_or(str::is_empty) {
                    // The way back starts with the page before the last.
                    token = of_page(&answer, "previous_page_token").unwrap_or(next);
                    break;
                }
                token = next;
            }
            if token.as_str().is_none_or(str::is_empty) {
                break;
            }
        }
        back.reverse();
        let what = || format!("{} {}", method.name(), query.what);
        self.hold(there == all, || format!("{}: pages of one row have other rows", what()));
        let all_but_last = all.split_last().map_or(&[][..], |(_, rows)| rows);
        self.hold(back == all_but_last, || format!("{}: the way back has other rows", what()));
    }

    /// The token of the second page of one row.
    async fn token(&self, workspace: &str, method: &Method, query: &Query) -> Option<String> {
        let answer = self.ask(workspace, method, &query.request, &[("page_size", Value::I32(1))]).await.ok()?;
        of_page(&answer, "next_page_token")?.as_str().map(str::to_owned).filter(|token| !token.is_empty())
    }

    /// The token of a query opens for one that means the same.
    async fn check_same(&self, workspace: &str, method: &Method, query: &Query, same: &Query) {
        let Some(token) = self.token(workspace, method, query).await else { return };
        let answer = self.ask(workspace, method, &same.request, &[("page_token", Value::String(token))]).await;
        self.hold_ok(&answer, || format!("{} {}: with a token of {}", method.name(), same.what, query.what));
    }

    /// A token opens with another page size and total, but not in another workspace, for another list, or if it was
    /// changed.
    async fn check_elsewhere(&self, workspace: &str, method: &Method, query: &Query, token: &str) {
        let text = |token: &str| Value::String(token.to_owned());
        let wanted = [("page_token", text(token)), ("page_size", Value::I32(7)), ("total_count", Value::EnumNumber(1))];
        let answer = self.ask(workspace, method, &query.request, &wanted).await;
        self.hold_ok(&answer, || format!("{} {}: a token with another size", method.name(), query.what));
        self.check_token(&self.new_workspace(), method, query, token, CHANGED, "another workspace").await;
        for other in self.contract.methods().filter(|other| other.page().is_some() && other.name() != method.name()) {
            let request = Query { what: query.what.clone(), request: self.contract.without_filters(other) };
            self.check_token(workspace, other, &request, token, CHANGED, method.name()).await;
        }
        for leaf in method.leaves().iter().filter(|leaf| self.contract.is_parameter(method, leaf)) {
            let mut is_checked = false;
            for other in other_values(&leaf.path.field().kind(), &leaf.path.get(&method.request)) {
                let mut request = query.clone();
                leaf.path.set(&mut request.request, Some(other));
                let answer = self.call(workspace, method, &request.request).await;
                // A start time after the end time is refused as invalid.
                if answer.is_ok() || answer.is_err_and(|status| status.code() != Code::InvalidArgument) {
                    is_checked = true;
                    self.check_token(workspace, method, &request, token, CHANGED, &format!("another {}", leaf.path))
                        .await;
                }
            }
            self.hold(is_checked, || format!("{} {}: the kit has no other value", method.name(), leaf.path));
        }
        self.check_broken(workspace, method, query, token).await;
    }

    /// A token that was changed or truncated anywhere is refused.
    async fn check_broken(&self, workspace: &str, method: &Method, query: &Query, token: &str) {
        for place in (0..token.len()).step_by(5) {
            let (begin, end) = token.split_at(place);
            let flipped = if end.starts_with('A') { "B" } else { "A" };
            let changed =
                [format!("{begin}{flipped}{}", &end[1..]), format!("{begin}A{end}"), format!("{begin} {end}")];
            let cut = (place > 0).then(|| begin.to_owned());
            for changed in changed.into_iter().chain(cut) {
                self.check_token(workspace, method, query, &changed, BROKEN, "a changed token").await;
            }
        }
    }

    /// Requires a token to be refused with one of these reasons.
    async fn check_token(
        &self,
        workspace: &str,
        method: &Method,
        query: &Query,
        token: &str,
        reasons: &[&str],
        of: &str,
    ) {
        let wanted = [("page_token", Value::String(token.to_owned()))];
        let answer = self.ask(workspace, method, &query.request, &wanted).await;
        let what = || format!("{} {}: with a token of {of}", method.name(), query.what);
        self.hold_refused(&answer, &["page.page_token".to_owned()].into(), "start again without a token", what);
        let info = answer.as_ref().err().and_then(|status| status.get_error_details().error_info().cloned());
        let is_reason = info.is_some_and(|info| info.domain == "quire" && reasons.contains(&info.reason.as_str()));
        self.hold(is_reason, || format!("{}: is not {reasons:?}: {}", what(), describe(&answer)));
    }

    /// Calls a list with these fields in its `page`.
    async fn ask(
        &self,
        workspace: &str,
        method: &Method,
        request: &DynamicMessage,
        wanted: &[(&str, Value)],
    ) -> Answer {
        let mut request = request.clone();
        let field = method.page().unwrap();
        let page = request.get_field_mut(&field).as_message_mut().unwrap();
        wanted.iter().for_each(|(name, value)| page.set_field_by_name(name, value.clone()));
        self.call(workspace, method, &request).await
    }

    /// The rows of the first page. If the answer is NOT_FOUND, there are none.
    async fn page(&self, workspace: &str, method: &Method, request: &DynamicMessage) -> Vec<DynamicMessage> {
        match self.call(workspace, method, request).await {
            Ok(answer) => rows_of(method, &answer),
            Err(status) => {
                self.hold(status.code() == Code::NotFound, || format!("{}: {status}", method.name()));
                Vec::new()
            }
        }
    }
}

fn rows_of(method: &Method, answer: &DynamicMessage) -> Vec<DynamicMessage> {
    method.rows().map(|rows| messages_of(&answer.get_field(&rows))).unwrap_or_default()
}

/// A field of the `PageResponse`.
fn of_page(answer: &DynamicMessage, name: &str) -> Option<Value> {
    let page = answer.get_field_by_name("page")?.into_owned();
    let page = page.as_message()?;
    let field = page.descriptor().get_field_by_name(name)?;
    page.has_field(&field).then(|| page.get_field(&field).into_owned())
}
